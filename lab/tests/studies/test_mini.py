"""`make mini` in miniature: every command of it, on a tiny language model; it stops where it must, and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pixelword.errors import PixelwordError
from pixelword.synthetic.assets import write_pack
from pixelword_lab.studies.mini import STAGES, Plan, judged, steps

RECIPES = Path(__file__).parents[3] / "recipes" / "mini"


@pytest.fixture
def plan(tmp_path, tiny_tokenizer) -> Plan:
    """A language model of bytes, and a pack of short texts."""
    text = {"vocab_size": len(tiny_tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 2048}
    ends = {"eos_token_id": tiny_tokenizer.eos_token_id, "pad_token_id": tiny_tokenizer.pad_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        language = LlamaForCausalLM(LlamaConfig(**text, **heads, **ends, tie_word_embeddings=True))
    language.save_pretrained(tmp_path / "language")
    tiny_tokenizer.save_pretrained(tmp_path / "language")
    names = [f"{first}{last}" for first in "bdfgklmn" for last in ("arn", "ell", "ine", "ock", "urt")]
    items = [
        {"key": f"glosses/{name}", "source": "glosses", "word": name, "part": "noun", "text": f"a kind of {name[1:]}"}
        for name in names
    ]
    items += [
        {
            "key": f"{source}/{name}",
            "source": source,
            "text": f"The {name} stood by the road. It was not a tall {name}.",
        }
        for source in ("speeches", "manuals")
        for name in names
    ]
    write_pack(tmp_path / "assets" / "words.zip", ((item, {}) for item in items), licences={"us": "CC0"})
    growth = ("--pre-buffer", "1", "--vision-hidden-size", "16", "--start", "identity")
    settings = ("data.mixture={text: 1}", "gate.bound=1000")
    return Plan(
        tmp_path / "mini",
        RECIPES,
        str(tmp_path / "language"),
        growth,
        assets=tmp_path / "assets",
        scale=0.002,
        settings=settings,
    )


def command(plan: Plan, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["--out", str(plan.out), "--recipes", str(plan.recipes), "--base", plan.base, "--scale", str(plan.scale)]
    words += ["--assets", str(plan.assets)]
    words += [word for item in plan.growth for word in ("--grow", item)]
    words += [word for setting in plan.settings for word in ("--set", setting)]
    told = [sys.executable, "-m", "pixelword", "lab", "mini", *words, *more]
    return subprocess.run(told, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_from_packages_to_the_card(plan) -> None:
    blind = command(plan)  # two steps of training name no colours, and the long run must not begin
    assert blind.returncode == 2 and "smoke test: " in blind.stderr, blind.stderr[-2000:]
    assert "the model does not see" in blind.stderr and not (plan.out / "pretrain").exists()
    passed = command(plan, "--least", "0", "--most", "1")
    assert passed.returncode == 0, passed.stderr[-2000:]
    assert "the grown model" not in passed.stdout  # what was done is left out
    for stage in STAGES:
        lines = [json.loads(line) for line in (plan.out / stage / "metrics.jsonl").read_text().splitlines()]
        readings = [line["perplexity"] for line in lines if line["event"] == "gate"]
        assert len(readings) > 1 and any("kl" in line for line in lines) is (stage != "pretrain"), stage
        assert stage != "pretrain" or len(set(readings)) == 1  # nothing that stage 1 trains reaches text
    card = (plan.out / "mini" / "README.md").read_text()
    report = json.loads((plan.out / "evaluation" / "report.json").read_text())
    assert report["tests"] and report["tests"][0]["name"] in card
    again = command(plan, "--least", "0", "--most", "1")
    assert again.returncode == 0 and "pixelword train" not in again.stdout


def test_every_step_is_a_command_that_makes_what_the_next_one_needs(plan) -> None:
    whole = Plan(plan.out, RECIPES, assets=plan.assets)
    told = list(steps(whole))
    names = [step.name for step in told]
    assert names.index("the grown model") < names.index("the stage smoke") < names.index("a look at the smoke test")
    assert names[-5:] == ["the stage pretrain", "the stage midtrain", "the stage sft", "the delta", "its evaluation"]
    assert "--text-bypass" in told[names.index("the grown model")].command
    assert {"--delta", "--bits"} <= set(told[-2].command) and {
        "the pack words",
        "the pack digits",
        "the pool chart-pool",
    } <= set(names)
    assert [step.name for step in told if step.trains] == [f"the stage {name}" for name in ("smoke", *STAGES)]
    assert whole.recipe("midtrain").model.from_ == plan.out / "pretrain" / "final"
    assert whole.recipe("sft").distill.from_ == plan.out / "grown" and whole.recipe("pretrain").distill is None
    ranks = sum(recipe.lora.rank for stage in STAGES if (recipe := whole.recipe(stage)).lora)
    assert ranks <= 16  # what the delta keeps whole
    small = plan.recipe("midtrain")
    assert small.steps == round(2900 * plan.scale) and not small.compile and small.data.longest == 1024


@pytest.mark.parametrize(
    ("right", "wrong", "why"), [(0.6, 0.1, "does not see"), (0.9, 0.5, "by words alone"), (0.85, 0.2, None)]
)
def test_the_smoke_test_judges(plan, tmp_path, right, wrong, why) -> None:
    report = {"tests": [{"name": "colour", "all": {"right": {"share": right}, "wrong": {"share": wrong}}}]}
    (tmp_path / "report.json").write_text(json.dumps(report))
    if why is None:
        assert (
            judged(tmp_path / "report.json", plan) == "smoke test: 85% of the colours named, 20% with a wrong picture"
        )
    else:
        with pytest.raises(PixelwordError, match=why):
            judged(tmp_path / "report.json", plan)

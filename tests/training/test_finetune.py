"""A fine-tune with adapters, from recipe to answer: what moves, what is written, and that it goes on after a stop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from pixelword.checkpoints.load import load_pretrained
from pixelword.generation.session import Session, load
from pixelword.training.recipe import Recipe
from pixelword.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
IDS = torch.arange(6, 30)[None]


@pytest.fixture
def adapted(tiny):
    """adapted("steps=2", out="name"): a stage with adapters, after a stage that made what they are on."""
    before = tiny("steps=1", out="before")
    Trainer(before).run()
    base = before.out / "final"

    def make(*overrides: str, out: str = "adapted") -> Recipe:
        lora = "lora={rank: 2, targets: [q_proj, o_proj, down_proj]}"
        return tiny(f"model={{from: {base}}}", "tokenizer=null", "trainable=[]", lora, *overrides, out=out)

    return make


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def test_only_the_adapter_moves_and_final_is_the_base_with_it(adapted) -> None:
    recipe = adapted()
    trainer = Trainer(recipe)
    trainer.run()
    final = recipe.out / "final"
    base, merged = load_pretrained(recipe.model.from_), load_pretrained(final)
    moved = {name for name, p in merged.named_parameters() if not torch.equal(p, base.state_dict()[name])}
    assert {name.split(".")[-2] for name in moved} == {"q_proj", "o_proj", "down_proj"}
    assert len(moved) == 3 * len(merged.language_model.model.layers)
    with_adapter = PeftModel.from_pretrained(base, str(final / "adapter")).eval()
    torch.testing.assert_close(logits(merged), logits(with_adapter), rtol=1e-4, atol=1e-5)
    assert json.loads((final / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        recipe.model.from_
    )
    in_memory = Session(with_adapter.merge_and_unload(), trainer.processor)
    question = {"max_new_tokens": 8, "temperature": 1.0, "seed": 3}
    assert load(final, device="cpu").ask("what colour is it?", **question) == in_memory.ask(
        "what colour is it?", **question
    )


def test_a_fine_tune_goes_on_bitwise(adapted) -> None:
    recipe = adapted("lora.dropout=0.2")
    Trainer(recipe).run()
    written = recipe.out / "final" / "adapter" / "adapter_model.safetensors"
    whole = load_file(written)
    Trainer(recipe, resume=recipe.out / "checkpoints" / "step-00000003").run()
    again = load_file(written)
    assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)
    assert all(tensor.any() for name, tensor in again.items() if "lora_B" in name)


@pytest.mark.slow
def test_the_example_learns_the_weather(tmp_path) -> None:
    command = [sys.executable, "-m", "pixelword"]
    train = [*command, "train", "examples/finetune/lora.yaml", "--out", str(tmp_path / "run")]
    subprocess.run(train, cwd=ROOT, check=True, timeout=550)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["event"] == "validation"][-1]
    assert last["generated"] >= 0.8  # pictures that it was not trained on
    picture = "examples/finetune/pictures/train_snowy_1.png"
    ask = [*command, "ask", "--model", str(tmp_path / "run" / "final"), picture, "what is the weather?"]
    assert subprocess.run(ask, cwd=ROOT, check=True, capture_output=True, text=True).stdout == "snowy\n"

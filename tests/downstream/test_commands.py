"""Commands, recipes and files as users' scripts have them: verbs, options, keys of JSON, fields of a recipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

EXAMPLES = Path(__file__).parents[2] / "examples"
CIRCLE, COLOUR = str(EXAMPLES / "red_circle.png"), "what colour is the circle?"

_ANSWERS = "--model --device --dtype --system --max-new-tokens --temperature --top-p --top-k --seed --max-pixels"
OPTIONS = {
    "ask": f"{_ANSWERS} --video --json --stop --repetition-penalty --crops --kept-frames --frame-budget --allow-urls",
    "chat": f"{_ANSWERS} --crops --kept-frames --frame-budget --allow-urls",
    "info": "--json",
    "convert": "--dtype --base --delta",
    "grow": "--text-bypass --pre-buffer --vision-hidden-size --start --seed",
    "train": "--set --resume --out --dry-run --gpu --gpus --json --profile --tensorboard --nproc-per-node",
    "evaluate": "--suite --questions --controls --out --json --seed --device --dtype",
    "explain": "--model --out --png --video --answer --method --max-words --occlusions",
    "probe": "--suite --tasks --data --limit --only --seed --out --json --device --dtype",
    "serve": "--host --port --api-key --served-model-name --max-model-len --max-num-seqs --quantization "
    "--limit-mm-per-prompt --allowed-local-media-path --allowed-media-domains",
    "verify": "--against --device --dtype --json",
    "models": "--json",
    "data check": "--set --root --workers",
    "data view": "--out --model --set",
}
# As many fields as a stage of a user's own has.
RECIPE = """
stage: sft
out: {out}
model: {{from: nano}}
trainable: [all]
data:
  sources:
    weather: {{path: {data}}}
  mixture: {{weather: 1}}
  min_pixels: 1024
  max_pixels: 16384
  rows: 4
  length: 128
  workers: 0
loss_weight: square
optimizer: {{name: adamw, lr: 1.0e-3, betas: [0.9, 0.95], eps: 1.0e-8, weight_decay: 0.0, clip: 1.0}}
schedule: {{kind: cosine, warmup: 1, floor: 0.0}}
steps: 2
seed: 7
device: cpu
attention: eager
precision: fp32
checkpoint: {{every: 1, keep: 2}}
validation: {{every: 2, sources: {{weather: {{path: {data}}}}}, generate: 1}}
log_every: 1
"""


def pixelword(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pixelword", *arguments]
    env = {**os.environ, "COLUMNS": "200"}  # long options are not cut
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, check=False)


@pytest.mark.parametrize("verb", OPTIONS)
def test_verbs_and_options_keep_their_names(verb: str) -> None:
    shown = pixelword(*verb.split(), "--help")
    assert shown.returncode == 0, shown.stderr
    assert [option for option in OPTIONS[verb].split() if option not in shown.stdout] == []


def test_json_keeps_its_keys() -> None:
    answer = json.loads(pixelword("ask", CIRCLE, COLOUR, "--json").stdout)
    assert answer["answer"] == "red"
    assert set(answer) >= {"model", "dtype", "prompt_tokens", "visual_tokens", "new_tokens", "seconds", "finish_reason"}
    facts = json.loads(pixelword("info", "nano", "--json").stdout)
    assert set(facts) >= {
        *(
            "layers",
            "pre_buffer_layers",
            "hidden_size",
            "heads",
            "key_value_heads",
            "head_dim",
            "vocabulary",
            "context",
        ),
        *("context", "parameters", "weights_bytes_bf16", "kv_bytes_per_token_bf16", "picture_tokens"),
    }


def test_errors_are_a_line_on_stderr_and_an_exit_code() -> None:
    for wrong in (["ask", "nothing.png", "what?"], ["ask", "--model", "nowhere", "hello"], ["train", "nothing.yaml"]):
        ended = pixelword(*wrong)
        assert ended.returncode != 0
        assert ended.stdout == ""
        assert "nothing" in ended.stderr or "nowhere" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_stage_is_trained_resumed_and_asked(tmp_path: Path) -> None:
    recipe, out = tmp_path / "stage.yaml", tmp_path / "run"
    recipe.write_text(RECIPE.format(out=out, data=EXAMPLES / "finetune" / "train.jsonl"))
    trained = pixelword("train", str(recipe))
    assert trained.returncode == 0, trained.stderr
    resumed = pixelword("train", str(recipe), "--resume", "auto", "--set", "steps=3")
    assert resumed.returncode == 0, resumed.stderr
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if record["event"] == "train"]
    assert [record["step"] for record in steps] == [1, 2, 3]
    assert set(steps[-1]) >= {
        "loss",
        "lr",
        "grad_norm",
        "tokens_per_s",
        "step_s",
        "padding",
        "mfu",
        "samples",
        "tokens",
    }
    assert {"loss", "losses", "exact"} <= set(next(record for record in records if record["event"] == "validation"))
    assert sorted(entry.name for entry in (out / "checkpoints").iterdir())[-1] == "step-00000003"
    assert pixelword("ask", CIRCLE, COLOUR, "--model", str(out / "final")).returncode == 0


def test_a_checkpoint_has_the_released_layout(tmp_path: Path) -> None:
    written = pixelword("convert", "nano", str(tmp_path / "nano"), "--dtype", "float32")
    assert written.returncode == 0, written.stderr
    files = {entry.name for entry in (tmp_path / "nano").iterdir()}
    assert files >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((tmp_path / "nano" / "config.json").read_text())
    assert config["model_type"] == "neo_chat"
    assert config["architectures"] == ["NeoOVForConditionalGeneration"]
    assert {"vision_config", "llm_config"} <= set(config)
    with safe_open(tmp_path / "nano" / "model.safetensors", "pt") as tensors:
        names = set(tensors.keys())
    assert {"language_model.model.embed_tokens.weight", "language_model.model.norm.weight"} <= names
    assert any(name.startswith("vision_model.embeddings.patch_embedding") for name in names)

"""An adapter in PEFT's format is merged on loading: the answers are those of the merged model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from typer.testing import CliRunner

import pixelword
from pixelword.checkpoints.load import load_pretrained
from pixelword.cli import app
from pixelword.errors import CheckpointError
from pixelword.training.lora import add_adapters, write_adapter
from pixelword.training.recipe import LoraRecipe
from pixelword.training.stages import set_trainable

STAR = Path(__file__).parents[2] / "examples" / "blue_star.png"
QUESTION = "what is it?"


@pytest.fixture
def adapter(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """An adapter moved at random, with the patch embedding trained in full beside it."""
    torch.manual_seed(0)
    model, recipe = load_pretrained(tiny_model_dir, dtype="float32"), LoraRecipe(rank=4, alpha=8)
    set_trainable(model, ["patch_embedding"])
    with torch.no_grad():
        for parameter in add_adapters(model, recipe):
            parameter.add_(0.3 * torch.randn_like(parameter))
    moved = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    folder = tmp_path / "adapter"
    write_adapter(folder, dict(model.state_dict()), recipe, tiny_model_dir, moved)
    return folder


def test_it_is_what_peft_makes_of_it(tiny_model_dir: Path, adapter: Path) -> None:
    ours = pixelword.load(tiny_model_dir, adapter=adapter, dtype="float32", device="cpu")
    theirs = PeftModel.from_pretrained(load_pretrained(tiny_model_dir, dtype="float32"), str(adapter)).eval()
    prompt = ours.processor.encode(
        [{"role": "user", "content": [{"type": "image", "image": str(STAR)}, {"type": "text", "text": QUESTION}]}],
        add_generation_prompt=True,
    )
    inputs = ours.processor.batch([prompt])
    with torch.no_grad():
        found, expected = ours.model(**inputs).logits, theirs(**inputs).logits
        plain = load_pretrained(tiny_model_dir, dtype="float32")(**inputs).logits
    assert torch.allclose(found, expected, atol=1e-4) and not torch.allclose(found, plain, atol=0.1)


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_line_takes_it(tiny_model_dir: Path, adapter: Path) -> None:
    expected = pixelword.load(tiny_model_dir, adapter=adapter).ask(QUESTION, images=STAR, max_new_tokens=8)
    asked = ("ask", STAR, QUESTION, "--max-new-tokens", 8, "--json", "--model", tiny_model_dir)
    plain, merged = (json.loads(run(*asked, *more).stdout)["answer"] for more in ((), ("--adapter", adapter)))
    assert merged == expected != plain


def altered(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"cut"), "copy it again"),
        (lambda folder: altered(folder, peft_type="IA3"), "only LORA is read"),
        (lambda folder: altered(folder, use_dora=True), "use_dora is not supported"),
    ],
)
def test_what_cannot_be_merged_is_one_line(
    tiny_model_dir: Path, adapter: Path, break_it: Callable[[Path], Any], told: str
) -> None:
    break_it(adapter)
    done = run("ask", STAR, QUESTION, "--model", tiny_model_dir, "--adapter", adapter)
    assert done.exit_code == 2 and told in done.stderr and done.stderr.count("\n") == 1


def test_another_models_adapter_is_refused(adapter: Path) -> None:
    with pytest.raises(CheckpointError, match="belongs to another model"):
        pixelword.load("nano", adapter=adapter)
    with pytest.raises(CheckpointError, match="--adapter"):
        pixelword.load(adapter)

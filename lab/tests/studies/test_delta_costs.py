"""What bits cost: a checkpoint and its deltas are asked the same; fewer bits are a smaller file, and further off."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from pixelword.checkpoints.grow import grow
from pixelword.checkpoints.registry import find
from pixelword.errors import PixelwordError
from pixelword.processing import NeoOVImageProcessor, NeoOVProcessor
from pixelword.training.recipe_file import load_recipe
from pixelword_lab.cli.studies import app
from pixelword_lab.studies.delta import costs


@pytest.fixture
def trained(tiny_base, tiny, tmp_path) -> Path:
    """A checkpoint that grew from the packaged language model and was changed, with a recipe beside it."""
    model, tokenizer = grow(find(tiny_base), **tiny_base.growth)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.startswith(("vision_model", "language_model.model.layers.0.")):
                tensor += 0.05 * torch.randn(tensor.shape, generator=generator)
    model.save_pretrained(tmp_path / "run" / "final")
    NeoOVProcessor(NeoOVImageProcessor(min_pixels=4096), tokenizer).save_pretrained(tmp_path / "run" / "final")
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and looked at the moon.\n\nwhat is two plus three? five, said the bird.\n")
    told = (f"model={{from: {tmp_path / 'run' / 'final'}}}", "tokenizer=null", f"gate={{text: {text}}}")
    recipe = tiny(*told, "data.mixture={colour: 1, pair: 1}", "data.length=512")
    values = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "run" / "final"


def test_fewer_bits_are_smaller_and_further_off(trained, tmp_path) -> None:
    recipe = load_recipe(trained.parent / "recipe.yaml", ("validation={every: 1, packs: 2}",))
    whole, eight, four = costs(recipe, tmp_path / "deltas", (8, 4), base="tiny-lm")
    assert (whole.name, eight.name, four.name) == ("whole", "8 bits", "4 bits") and whole.changed == 0
    assert whole.bytes > eight.bytes > four.bytes > 0
    assert eight.changed < four.changed < 1 and eight.perplexity != whole.perplexity
    assert 0 < abs(eight.loss / whole.loss - 1) < 0.02
    assert whole.asked == eight.asked == four.asked and set(whole.asked) == {"colour", "pair"}
    assert (tmp_path / "deltas" / "bits-4" / "delta.safetensors").stat().st_size == four.bytes


def test_the_command_tells_them_by_line(trained, tmp_path) -> None:
    words = ["delta", str(trained), "--base", "tiny-lm", "--bits", "6", "--packs", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r"whole: .*perplexity \d+\.\d+\n6 bits: .*of their tokens changed.*\n", result.stdout), (
        result.stdout
    )


def test_without_a_recipe_it_says_so(trained) -> None:
    (trained.parent / "recipe.yaml").unlink()
    result = CliRunner().invoke(app, ["delta", str(trained)])
    assert isinstance(result.exception, PixelwordError) and "--recipe" in str(result.exception)

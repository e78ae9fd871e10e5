"""Epochs become steps: the plan's, or what a dry run expects; and a base in bf16 trains and is exported as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pixelword.errors import RecipeError
from pixelword.training.building import build_processor
from pixelword.training.epochs import counted, expected
from pixelword.training.recipe import Recipe
from pixelword.training.recipe_file import load_recipe
from pixelword.training.trainer import Trainer

FINETUNE = Path(__file__).parents[2] / "examples" / "finetune"


def recipe(tmp_path: Path, *overrides: str) -> Recipe:
    own = (f"data.sources.weather.path={FINETUNE / 'train.jsonl'}", f"out={tmp_path / 'run'}", "validation=null")
    return load_recipe(FINETUNE / "lora.yaml", [*own, *overrides])


def test_epochs_are_passes_over_the_data(tmp_path: Path) -> None:
    item, three = (
        counted(made, build_processor(made)).steps
        for made in (recipe(tmp_path, "steps=null", f"epochs={epochs}", "data.rows=1") for epochs in (1, 3))
    )
    assert item > 1 and three in (3 * item, 3 * item - 1, 3 * item - 2)
    assert expected(recipe(tmp_path, "steps=null", "epochs=3", "data.rows=1")).epochs is None


def test_a_dry_run_assumes_samples_where_files_are_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = recipe(tmp_path, "steps=null", "epochs=1", "data.sources.weather.path=gone.jsonl")
    assert expected(made).steps >= 1 and "counted as 1,000 samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("epochs=2",), "not both"),
        (("steps=null",), "give steps, or epochs"),
        (("steps=null", "epochs=2", "data.length=[[0, 128], [0.5, 256]]"), "one data.length"),
        (("steps=null", "epochs=2", "data={mixture: {colour: 1}, rows: 1, length: 128}"), "no end"),
    ],
)
def test_one_end_and_one_that_can_be_counted(tmp_path: Path, overrides: tuple[str, ...], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        recipe(tmp_path, *overrides)


def test_a_run_by_epochs_with_a_base_in_bf16(tmp_path: Path) -> None:
    made = recipe(tmp_path, "steps=null", "epochs=1", "data.rows=2", "lora.base=bf16", "precision=bf16")
    trainer = Trainer(made)
    frozen = trainer.model.language_model.model.layers[0].mlp.up_proj.base_layer.weight
    assert frozen.dtype == torch.bfloat16 and trainer.recipe.epochs is None
    trainer.run()
    assert trainer.progress.step == trainer.recipe.steps
    name = "language_model.model.layers.0.mlp.up_proj.weight"
    before = load_file(Path(str(made.model.from_)) / "model.safetensors") if made.model.from_ else {}
    after = load_file(tmp_path / "run" / "final" / "model.safetensors")
    assert after[name].dtype == torch.bfloat16 and not torch.equal(after[name], before[name])


def test_a_base_in_bf16_needs_bf16_arithmetic(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"lora\.base"):
        Trainer(recipe(tmp_path, "lora.base=bf16"))

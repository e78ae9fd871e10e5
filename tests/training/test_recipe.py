"""Recipes: what is accepted, and that every fault is one line with file, line, field and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelword.errors import RecipeError
from pixelword.training.recipe import ModelRecipe
from pixelword.training.recipe_file import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"

GOOD = """\
stage: scratch
out: runs/x
tokenizer: nano
model:
  config: {}
data:
  mixture: {colour: 1, count: 2}
  level: [[0.1, 0.0], [0.5, 1.0]]
  rows: 2
  length: 64
optimizer:
  lr: 1e-3
schedule: {kind: cosine}
steps: 10
checkpoint: {every: 5}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "stage.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(RECIPES.glob("nano/*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.stage == path.stem
    assert recipe.out == Path("runs/nano") / path.stem


def test_stages_follow_each_other() -> None:
    stages = {
        stage: load_recipe(RECIPES / "nano" / f"{stage}.yaml") for stage in ("scratch", "pretrain", "midtrain", "sft")
    }
    for before, after in zip(list(stages), list(stages)[1:], strict=False):
        assert stages[after].model.from_ == stages[before].out / "final"
    assert set(stages["pretrain"].trainable) == {"patch_embedding", "pre_buffer", "hw_projections"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("  lr: 1e-3", "  lr: 1e-3\n  epps: 0"), r"stage.yaml:13: unknown field 'optimizer.epps'; did you mean 'eps'"),
        (("steps: 10", "stpes: 10"), r"stage.yaml.*'steps'|stage.yaml:14: unknown field 'stpes'"),
        (("steps: 10", "steps: many"), r"stage.yaml:14: steps: .*integer"),
        (("steps: 10", "steps: 0"), r"stage.yaml:14: steps: .*greater than 0"),
        (("kind: cosine", "kind: cosin"), r"stage.yaml:13: schedule.kind: .*'cosine'"),
        (("colour: 1", "color: 1"), r"stage.yaml:7: data.mixture: unknown kind 'color'; did you mean 'colour'"),
        (("  config: {}", "  {}"), r"stage.yaml:4: model: give model.from"),
        (("[0.5, 1.0]", "[0.5, 7.0]"), r"stage.yaml:8: data.level"),
        (("tokenizer: nano\n", ""), r"needs a tokenizer"),
        (("  length: 64\n", ""), r"stage.yaml:6: missing field 'data.length'"),
        (("steps: 10", "steps: 10\nsteps: 12"), r"stage.yaml:15: steps is given twice"),
        (("steps: 10", "trainable: [pre_bufer]\nsteps: 10"), r"stage.yaml:14: trainable: .*did you mean 'pre_buffer'"),
        (("steps: 10", "steps: [10"), r"stage.yaml:\d+: not YAML"),
    ],
)  # fmt: skip
def test_faults_name_file_line_field_and_nearest(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(RecipeError, match=expected) as caught:
        load_recipe(written(tmp_path, GOOD.replace(*change)))
    assert "\n" not in str(caught.value)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(tmp_path / "none.yaml")


def test_overrides_reach_nested_fields(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, GOOD), ["optimizer.lr=2e-4", "data.mixture.count=0", "steps=7"])
    assert recipe.optimizer.lr == 2e-4
    assert recipe.data.mixture == {"colour": 1.0, "count": 0.0}
    assert recipe.steps == 7


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizer.lrr=1", r"--set optimizer.lrr: unknown field .*did you mean 'lr'"),
        ("steps=few", r"--set steps: "),
        ("steps", r"--set steps: write it as field=value"),
        ("steps.a=1", r"--set steps.a=1: steps has no fields"),
    ],
)
def test_faults_of_overrides_name_the_override(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        load_recipe(written(tmp_path, GOOD), [override])


def test_level_rises_along_its_points(tmp_path: Path) -> None:
    data = load_recipe(written(tmp_path, GOOD)).data
    assert [round(data.level_at(x), 3) for x in (0.0, 0.1, 0.3, 0.5, 1.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_a_packaged_model_is_named_and_stays_so_in_what_is_recorded() -> None:
    model = ModelRecipe.model_validate({"from": "nano"})
    assert model.from_ is not None and (model.from_ / "config.json").is_file()
    assert model.model_dump(mode="json", by_alias=True, exclude_none=True) == {"from": "nano"}
    assert ModelRecipe.model_validate({"from": "runs/nano"}).model_dump(mode="json")["from_"] == "runs/nano"

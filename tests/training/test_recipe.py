"""Recipes: what is accepted, and that every fault is one line with file, line, field and the nearest name."""

from __future__ import annotations

import dataclasses
import inspect
from itertools import pairwise
from pathlib import Path

import pytest

from pixelword.errors import RecipeError
from pixelword.model import SIZES, NeoOVConfig, NeoOVTextConfig, NeoOVVisionConfig
from pixelword.model.footprint import count_parameters
from pixelword.model.meta import meta_model
from pixelword.model.sizes import Arguments, TextArguments, VisionArguments, size_arguments
from pixelword.training.recipe import ModelRecipe
from pixelword.training.recipe_file import load_recipe
from pixelword.training.sizes import checked_config

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


FAMILIES = sorted({path.parent.relative_to(RECIPES).as_posix() for path in RECIPES.rglob("sft.yaml")})


def test_every_size_has_its_three_stages() -> None:
    assert FAMILIES == ["0.6b", "2b", "2b/neo", "9b", "9b/neo", "mini", "nano", "nano/long"]


@pytest.mark.parametrize("family", FAMILIES)
def test_shipped_stages_follow_each_other(family: str) -> None:
    names = ("scratch", "pretrain", "midtrain", "sft") if family.startswith("nano") else ("pretrain", "midtrain", "sft")
    stages = [load_recipe(RECIPES / family / f"{name}.yaml") for name in names]
    for name, recipe in zip(names, stages, strict=True):
        assert recipe.stage == name and recipe.out == Path("runs") / family / name
        # the next nano's shape is no known size yet: its first stage has it
        size = None if family == "nano/long" else family.split("/")[0]
        assert recipe.model.config is not None or recipe.model.size == size
    for before, after in pairwise(stages):
        assert after.model.from_ == before.out / "final"
    assert set(stages[-3].trainable) == {"patch_embedding", "pre_buffer", "hw_projections"}


@pytest.mark.parametrize(
    ("name", "rate", "warmup", "floor", "steps"),
    [("pretrain", 8e-4, 2000, 0.05, 190_000), ("midtrain", 4e-5, 200, 0.1, 50_000), ("sft", 5e-5, 200, 0.0, 6_000)],
)
def test_neo_has_its_papers_numbers(name: str, rate: float, warmup: int, floor: float, steps: int) -> None:
    for size in ("2b", "9b"):
        recipe = load_recipe(RECIPES / size / "neo" / f"{name}.yaml")
        assert (recipe.optimizer.lr, recipe.schedule.warmup, recipe.schedule.floor) == (rate, warmup, floor)
        assert (recipe.steps, recipe.optimizer.betas, recipe.data.longest) == (steps, (0.9, 0.999), 8192)


@pytest.mark.parametrize(("name", "rate"), [("pretrain", 2e-4), ("midtrain", 5e-5), ("sft", 5e-5)])
def test_neo_ov_has_its_papers_numbers(name: str, rate: float) -> None:
    for size in ("0.6b", "2b", "9b"):
        recipe = load_recipe(RECIPES / size / f"{name}.yaml")
        assert recipe.optimizer.lr == rate
        assert recipe.schedule.kind == "cosine" and recipe.schedule.warmup == pytest.approx(
            recipe.steps / 100, rel=0.01
        )


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
        (("steps: 10", "steps: [10"), r"stage.yaml:\d+: not a YAML file"),
        (("config: {}", "config: {llm_config: {hiden_size: 8}}"),
         r"stage.yaml:5: unknown field 'model.config.llm_config.hiden_size'; did you mean 'hidden_size'"),
        (("config: {}", "config:\n    vision_config:\n      max_pixel: 8"),
         r"stage.yaml:7: unknown field 'model.config.vision_config.max_pixel'; did you mean 'max_pixels'"),
        (("config: {}", "config: {llm_config: {num_hidden_layers: six}}"),
         r"stage.yaml:5: model.config.llm_config.num_hidden_layers: .*integer"),
        (("  config: {}", "  size: 3b"), r"stage.yaml:5: model.size: .*'0.6b', '2b'"),
        (("  config: {}", "  config: {}\n  size: 2b"), r"stage.yaml:4: model: model.config stands alone"),
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


def test_length_steps_up_at_its_points(tmp_path: Path) -> None:
    data = load_recipe(written(tmp_path, GOOD), ["data.length=[[0, 16], [0.4, 32], [0.8, 64]]"]).data
    assert [data.length_at(x) for x in (0.0, 0.39, 0.4, 0.79, 1.0)] == [16, 16, 32, 32, 64]
    assert data.longest == 64


def test_a_size_gives_the_networks_arguments(tmp_path: Path) -> None:
    model = load_recipe(written(tmp_path, GOOD.replace("config: {}", "size: mini"))).model
    assert model.arguments["llm_config"]["hidden_size"] == 576
    nano = load_recipe(written(tmp_path, GOOD.replace("config: {}", "size: nano"))).model
    assert NeoOVConfig(**nano.arguments).llm_config.extra_num_layers == 2


def test_a_checkpoint_of_another_size_is_refused(tmp_path: Path) -> None:
    NeoOVConfig(**SIZES["mini"]).save_pretrained(tmp_path / "mini")
    text = GOOD.replace("config: {}", f"from: {tmp_path / 'mini'}")
    assert checked_config(load_recipe(written(tmp_path, text), ["model.size=mini"])).llm_config.hidden_size == 576
    with pytest.raises(RecipeError, match="is not a '2b': its hidden_size is 576, not 2048"):
        checked_config(load_recipe(written(tmp_path, text), ["model.size=2b"]))


def test_a_mistyped_part_is_named_with_its_line_and_its_nearest_name(tmp_path: Path) -> None:
    text = (RECIPES / "nano" / "sft.yaml").read_text().replace("\noptimizer:", "\noptimiser:")
    line = text.splitlines().index(next(line for line in text.splitlines() if line.startswith("optimiser:"))) + 1
    (tmp_path / "stage.yaml").write_text(text)
    with pytest.raises(RecipeError, match=rf"stage.yaml:{line}: unknown field 'optimiser'; did you mean 'optimizer'"):
        load_recipe(tmp_path / "stage.yaml")


def test_what_is_not_a_recipe_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(RecipeError, match=r"model.yaml: not a YAML file"):
        load_recipe(tmp_path / "model.yaml")
    with pytest.raises(RecipeError) as told:
        load_recipe(tmp_path / "nothing.yaml")
    assert str(told.value).count("nothing.yaml") == 1 and "No such file" in str(told.value)


def test_the_arguments_known_before_torch_are_the_configurations() -> None:
    """`model.sizes` repeats names and defaults of the configuration's classes, so that recipes need no transformers."""
    pairs = ((VisionArguments, NeoOVVisionConfig), (TextArguments, NeoOVTextConfig), (Arguments, NeoOVConfig))
    for arguments, config in pairs:
        wanted = {name: item.default for name, item in inspect.signature(config).parameters.items() if name != "kwargs"}
        found = {field.name: field.default for field in dataclasses.fields(arguments)}
        parts = {"vision_config", "llm_config", "text_config"}
        assert found.keys() - parts == wanted.keys() - parts
        assert [name for name in found.keys() - parts if found[name] != wanted[name]] == []
    for size in SIZES:
        config = NeoOVConfig(**SIZES[size])
        assert count_parameters(size_arguments(size)) == count_parameters(config)
        assert sum(count_parameters(config).values()) == sum(
            parameter.numel() for parameter in meta_model(config).parameters()
        )


def test_the_old_name_of_a_field_is_read_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = (GOOD.replace("  rows: 2", f"  expect: {{{name}: 3}}\n  rows: 2") for name in ("pictures", "images"))
    recipe = load_recipe(written(tmp_path, new))
    assert recipe.data.expect.images == 3 and capsys.readouterr().err == ""
    assert load_recipe(written(tmp_path, old)) == recipe
    assert capsys.readouterr().err == (
        "note: recipe field 'pictures' is now 'images'; the old name goes in the next release\n"
    )
    assert load_recipe(written(tmp_path, GOOD), ["data.expect.pictures=3"]) == recipe
    with pytest.raises(RecipeError, match="pictures is the old name of images: give images alone"):
        load_recipe(written(tmp_path, old), ["data.expect.images=3"])

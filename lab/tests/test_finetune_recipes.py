"""The recipes for one use of a checkpoint: they name what there is, and in miniature they train and answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pixelword.checkpoints.load import load_pretrained
from pixelword.evaluation.suite import chosen
from pixelword.generation.session import load
from pixelword.training.launch import launch
from pixelword.training.recipe_file import load_recipe
from pixelword_lab.family import family

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "finetune").glob("*.yaml"))
#: Of each recipe, the family that pictures of plain squares are enough for.
DRAWN = {"captioning": "captions", "grounding": "grounding", "vqa": "scenes"}

recipes = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


@recipes
def test_what_is_taught_and_how_it_is_measured_exist(path) -> None:
    recipe = load_recipe(path, ("model={from: nano}",))
    assert all(family(name).name == name for name in recipe.data.mixture)
    assert DRAWN[path.stem] in recipe.data.mixture and recipe.lora is not None
    (command,) = re.findall(r"pixelword evaluate \S+ (.*?)(?:;|$)", path.read_text(), re.MULTILINE)
    asked = {option: re.findall(rf"--{option} (\S+)", command) for option in ("suite", "tasks")}
    tests = chosen(asked["suite"] or ["held-out"], asked["tasks"])
    assert {test.name for test in tests} == set(asked["tasks"])


@pytest.mark.slow
@recipes
def test_it_trains_in_miniature_and_answers(path, square_packs, tmp_path) -> None:
    """From the embedded model, on one family: the loss goes down, adapters are written, the result answers."""
    small = (
        "data.length=512",
        "data.max_pixels=16384",
        "data.packs=1",
        "data.workers=0",
        "device=cpu",
        "precision=fp32",
    )
    data = (f"data.assets={square_packs}", f"data.mixture={{{DRAWN[path.stem]}: 1}}", "data.turns=1")
    pace = ("steps=12", "schedule={kind: constant}", "optimizer.lr=1e-3", "log_every=1", "checkpoint.every=12")
    final = launch(load_recipe(path, ("model={from: nano}", *small, *data, *pace)), out=tmp_path / "run").folder
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["event"] == "train"]
    assert len(losses) == 12 and sum(losses[-4:]) < 0.8 * sum(losses[:4]), losses
    assert (final / "adapter" / "adapter_config.json").is_file()
    before, after = load_pretrained(Path("nano")), load_pretrained(final)
    language = before.config.llm_config.extra_num_layers
    name = f"language_model.model.layers.{language}.mlp.up_proj.weight"
    assert not before.state_dict()[name].equal(after.state_dict()[name])  # by its adapter, merged
    assert load(str(final), device="cpu").ask("what is this?", max_new_tokens=3)

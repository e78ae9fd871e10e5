"""The gate: a run that loses its language saves, says so and ends; one that keeps it goes through."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pixelword.cli import app
from pixelword.errors import PixelwordError, RecipeError
from pixelword.evaluation.perplexity import encode_texts, perplexity, read_texts
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.training.checkpoints import checkpoints
from pixelword.training.perplexity_guard import Reading
from pixelword.training.recipe import Recipe
from pixelword.training.trainer import Trainer


@pytest.fixture
def gated(tiny, tmp_path):
    """gated("steps=4", bound=0.05): a stage that goes on from random weights, with a gate before its end."""
    Trainer(tiny("steps=1", "optimizer.lr=1e-9", "optimizer.muon_lr=1e-9", out="before")).run()
    (tmp_path / "text.txt").write_text("the cat sat on the mat\n\nwhat is red and round?\n\nthree and four are seven\n")

    def make(*overrides: str, bound: float, out: str = "run") -> Recipe:
        gate = f"gate={{text: {tmp_path / 'text.txt'}, bound: {bound}}}"
        return tiny(f"model={{from: {tmp_path / 'before' / 'final'}}}", gate, *overrides, out=out)

    return make


def events(recipe: Recipe, event: str) -> list[dict]:
    lines = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def test_a_run_within_its_bound_goes_through(gated, tmp_path) -> None:
    recipe = gated("steps=6", "checkpoint.every=4", "validation={every: 3}", "gate.every=5", bound=1000)
    trainer = Trainer(recipe)
    outcome = trainer.run()
    readings = events(recipe, "gate")
    assert [reading["step"] for reading in readings] == [
        0,
        3,
        4,
        5,
        6,
    ]  # the start, each validation and checkpoint, its own
    assert readings[0]["excess"] == pytest.approx(0, abs=1e-4)
    documents = encode_texts(trainer.processor, read_texts(recipe.gate.text))
    first, last = (
        perplexity(NeoOVForConditionalGeneration.from_pretrained(folder).float(), documents)
        for folder in (tmp_path / "before" / "final", outcome.folder)
    )
    assert readings[-1]["against"] == pytest.approx(first, rel=1e-3)
    assert readings[-1]["perplexity"] == pytest.approx(last, rel=1e-3)
    assert readings[-1]["excess"] == pytest.approx(last / first - 1, abs=1e-3)
    assert trainer.model.training


def test_past_its_bound_it_saves_says_so_and_ends(gated) -> None:
    recipe = gated("steps=9", "checkpoint.every=2", bound=1e-3)
    recipe = recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"lr": 1.0, "muon_lr": 1.0})})
    with pytest.raises(
        PixelwordError, match=r"tiny: stopped by its gate after step 2: perplexity on text .* \(bound 0%\)"
    ):
        Trainer(recipe).run()
    assert [folder.name for folder in checkpoints(recipe.out)] == ["step-00000002"]
    assert len(events(recipe, "gate")) == 2 and not (recipe.out / "final").exists()
    wide = recipe.model_copy(update={"gate": recipe.gate.model_copy(update={"bound": 1e99})})
    assert Trainer(wide, resume=checkpoints(recipe.out)[-1]).run().progress.step == 9


def test_the_command_line_ends_with_an_error(gated, tmp_path) -> None:
    recipe = gated(bound=1)
    options = ["--set", "gate.bound=1e-3", "--set", "optimizer.muon_lr=1", "--set", "optimizer.lr=1"]
    gate = ["--set", f"gate.text={recipe.gate.text}", "--set", f"model={{from: {recipe.model.from_}}}"]
    ended = CliRunner().invoke(app, ["train", str(tmp_path / "tiny.yaml"), *gate, *options])
    assert ended.exit_code == 2 and "tiny: stopped by its gate after step 3" in ended.output


def test_a_perplexity_that_is_no_number_does_not_pass() -> None:
    assert Reading(10.4, 10.0, 0.05).passes and not Reading(10.6, 10.0, 0.05).passes
    assert not Reading(math.nan, 10.0, 0.05).passes and not Reading(math.inf, 10.0, 1e9).passes
    assert Reading(10.6, 10.0, 0.05).line() == "perplexity on text 10.60, +6.0% against 10.00 (bound 5%)"


def test_what_it_lacks_is_told_before_weights_are_loaded(gated, tiny, tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"gate.text: .*none.txt: no such text file"):
        Trainer(gated(f"gate.text={tmp_path / 'none.txt'}", bound=1))
    with pytest.raises(RecipeError, match=r"gate.text: .*words.zip is missing: pixelword tasks fetch words"):
        Trainer(gated("gate.text=words", f"data.assets={tmp_path}", bound=1))
    with pytest.raises(RecipeError, match=r"gate.against: .* holds no checkpoint"):
        Trainer(gated(f"gate.against={tmp_path / 'nothing'}", bound=1))
    with pytest.raises(RecipeError, match="random weights has none"):
        Trainer(tiny(f"gate={{text: {Path(gated(bound=1).gate.text)}}}"))

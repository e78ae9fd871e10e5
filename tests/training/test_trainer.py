"""The loop: it learns, it resumes bitwise, it survives signals, kills and bad numbers, and its result loads."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from pixelword import machine
from pixelword.errors import CheckpointError, PixelwordError
from pixelword.training import launch
from pixelword.training.checkpoints import STATE_FILE, checkpoints
from pixelword.training.recipe import Recipe
from pixelword.training.recipe_file import load_recipe
from pixelword.training.trainer import Outcome, Trainer


def metrics(recipe: Recipe, event: str = "train") -> list[dict]:
    lines = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def losses(recipe: Recipe) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in metrics(recipe)}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def stop_after(trainer: Trainer, step: int, number: int) -> Outcome:
    """Run, and get signal `number` while `step` is under way."""
    whole = trainer.engine.step

    def step_and_signal(packs, at, fraction):
        if at == step:
            os.kill(os.getpid(), number)
        return whole(packs, at, fraction)

    trainer.engine.step = step_and_signal  # type: ignore[method-assign]
    return trainer.run()


def test_loss_falls(tiny) -> None:
    recipe = tiny("steps=40", "data.level=0", "schedule.decay=0.2")
    Trainer(recipe).run()
    found = losses(recipe)
    assert found[40] < 0.7 * found[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_resumed_is_bitwise_the_whole_run(tiny, number) -> None:
    whole, pieces = tiny(out="whole"), tiny(out="pieces")
    Trainer(whole).run()
    outcome = stop_after(Trainer(pieces), 1, number)
    assert outcome.signal == number and outcome.progress.step == 2
    assert not (pieces.out / "final").exists()
    Trainer(pieces, resume=checkpoints(pieces.out)[-1]).run()
    assert losses(pieces) == losses(whole)
    seen = [[(line["samples"], line["tokens"]) for line in metrics(recipe)] for recipe in (pieces, whole)]
    assert seen[0] == seen[1] and 0 < seen[0][0][0] < seen[0][-1][0]
    ours, theirs = weights(pieces.out / "final"), weights(whole.out / "final")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_first_step_that_would_never_end_is_stopped_and_nothing_is_lost(tiny, number, capsys) -> None:
    whole, pieces = tiny(out="whole"), tiny(out="pieces")
    Trainer(whole).run()

    def endless(packs, at, fraction):
        os.kill(os.getpid(), number)
        while True:
            pass

    trainer = Trainer(pieces)
    trainer.engine.step = endless  # type: ignore[method-assign]
    outcome = trainer.run()
    assert outcome.signal == number and outcome.progress.step == 0
    assert "before a step was done; nothing to save" in capsys.readouterr().out
    assert not checkpoints(pieces.out)
    Trainer(pieces).run()
    assert losses(pieces) == losses(whole)


def test_an_automatic_precision_is_measured_said_recorded_and_kept(tiny, capsys, monkeypatch) -> None:
    recipe = tiny("precision=auto", "steps=3")
    found = {torch.bfloat16: "bf16", torch.float32: "fp32"}[machine.training_dtype(torch.device("cpu"))]
    trainer = Trainer(recipe)
    assert trainer.recipe.precision == found
    trainer.run()
    assert f"computes in {'bfloat16' if found == 'bf16' else 'float32'}" in capsys.readouterr().out
    saved = checkpoints(recipe.out)[-1]
    assert json.loads((saved / STATE_FILE).read_text())["precision"] == found
    other = torch.bfloat16 if found == "fp32" else torch.float32
    monkeypatch.setattr(machine, "training_dtype", lambda device: other)
    assert Trainer(recipe, resume=saved).recipe.precision == found
    assert Trainer(tiny("precision=auto", out="new")).recipe.precision != found
    assert Trainer(tiny("precision=fp32", "steps=3"), resume=saved).recipe.precision == "fp32"


def test_resume_takes_the_rates_of_the_recipe_at_hand(tiny) -> None:
    """A rate changed between two runs counts; only the moments come from the checkpoint."""
    recipe = tiny("optimizer.lr=1e-3", "optimizer.muon_lr=1e-3")
    Trainer(recipe).run()
    slower = tiny("optimizer.lr=1e-4", "optimizer.muon_lr=2e-4")
    resumed = Trainer(slower, resume=recipe.out / "checkpoints" / "step-00000003")
    peaks = {name: {g["peak_lr"] for g in part.param_groups} for name, part in resumed.engine.optimizer.parts.items()}
    assert peaks["adamw"] == {1e-4} and peaks.get("muon", {2e-4}) == {2e-4}
    assert all(part.state for part in resumed.engine.optimizer.parts.values())


def test_resume_drops_metrics_of_steps_that_are_done_again(tiny) -> None:
    recipe = tiny()
    Trainer(recipe).run()
    before = losses(recipe)
    Trainer(recipe, resume=recipe.out / "checkpoints" / "step-00000003").run()
    assert [line["step"] for line in metrics(recipe)] == [1, 2, 3, 4, 5, 6]
    assert losses(recipe) == before


def test_workers_draw_the_same_packs(tiny) -> None:
    inside, beside = tiny("steps=2", out="inside"), tiny("steps=2", "data.workers=1", out="beside")
    for recipe in (inside, beside):
        Trainer(recipe).run()
    assert losses(inside) == losses(beside)


def test_the_clock_ends_a_stage(tiny) -> None:
    recipe = tiny("steps=100000", "max_minutes=0.02")
    outcome = Trainer(recipe).run()
    assert outcome.signal is None and outcome.progress.step < 100000
    assert metrics(recipe)[-1]["lr"] < 3e-3
    assert (recipe.out / "final" / "model.safetensors").is_file()


def test_validation_reports_every_kind(tiny) -> None:
    recipe = tiny("steps=2", "validation={every: 2, packs: 1}", "data.mixture.text=0")
    Trainer(recipe).run()
    before, line = metrics(recipe, "validation")
    assert (before["step"], line["step"]) == (0, 2)
    assert set(line["exact"]) == set(line["losses"]) == {"colour", "count"}
    assert line["loss"] == pytest.approx(sum(line["losses"].values()) / 2, abs=1e-3)


def test_a_step_without_a_finite_loss_is_skipped_and_training_goes_on(tiny) -> None:
    recipe = tiny()
    trainer = Trainer(recipe)
    make = trainer.source.__call__

    def with_one_bad(k: int):
        pack = make(k)
        return _poisoned(pack) if k == 2 else pack

    trainer.source = _Packs(trainer.source, with_one_bad)  # type: ignore[assignment]
    trainer.run()
    (line,) = metrics(recipe, "skipped")
    assert line["step"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in weights(recipe.out / "final").values())


def test_bad_steps_in_a_row_end_training_and_keep_the_checkpoint(tiny) -> None:
    recipe = tiny("steps=20")
    trainer = Trainer(recipe)
    make = trainer.source.__call__
    trainer.source = _Packs(trainer.source, lambda k: _poisoned(make(k)) if k >= 3 else make(k))  # type: ignore[assignment]
    with pytest.raises(PixelwordError, match="3 steps in a row"):
        trainer.run()
    assert [path.name for path in checkpoints(recipe.out)] == ["step-00000003"]


class _Packs:
    """The stage's packs, some of them changed."""

    def __init__(self, source, make) -> None:
        self.packs_per_step, self.make = source.packs_per_step, make

    def __call__(self, number: int):
        return self.make(number)

    def costs(self, step: int) -> None:
        """All cost alike."""


def _poisoned(pack):
    from dataclasses import replace

    return replace(pack, loss_weight=pack.loss_weight * float("nan"))


def test_export_loads_in_plain_transformers_and_in_the_next_stage(tiny) -> None:
    first = tiny("steps=2", "export=bf16", out="first")
    Trainer(first).run()
    model = AutoModelForImageTextToText.from_pretrained(first.out / "final", dtype="auto")
    assert model.dtype == torch.bfloat16
    after = tiny("steps=2", "model={from: " + str(first.out / "final") + "}", "tokenizer=null", out="second")
    assert Trainer(after).run().progress.step == 2


def test_a_kill_while_saving_leaves_the_checkpoint_before(tiny, tmp_path) -> None:
    recipe = tiny()
    Trainer(recipe).run()
    torn = recipe.out / "checkpoints" / ".step-00000009.x1y2"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    assert [path.name for path in checkpoints(recipe.out)] == ["step-00000003", "step-00000006"]


def test_only_the_last_checkpoints_are_kept(tiny) -> None:
    recipe = tiny("checkpoint={every: 1, keep: 2}")
    Trainer(recipe).run()
    assert [path.name for path in checkpoints(recipe.out)] == ["step-00000005", "step-00000006"]


def test_a_state_that_is_broken_or_of_another_recipe_is_one_line(tiny) -> None:
    recipe = tiny("steps=3")
    Trainer(recipe).run()
    checkpoint = checkpoints(recipe.out)[-1]
    with pytest.raises(CheckpointError, match="of another recipe"):
        Trainer(tiny("trainable=[hw_projections]"), resume=checkpoint)
    (checkpoint / STATE_FILE).write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        Trainer(recipe, resume=checkpoint)


def test_a_run_is_not_overwritten_by_accident(tiny, tmp_path) -> None:
    recipe = tiny("steps=1", "checkpoint.every=1")
    Trainer(recipe).run()
    with pytest.raises(CheckpointError, match="a run is here already"):
        launch.launch(load_recipe(tmp_path / "tiny.yaml"), out=recipe.out)
    longer = load_recipe(tmp_path / "tiny.yaml", ["steps=2"])
    assert launch.launch(longer, out=recipe.out, resume="auto").progress.step == 2


def test_a_missing_stage_before_is_one_line(tiny) -> None:
    with pytest.raises(CheckpointError, match="run the stage before"):
        Trainer(tiny("model={from: nowhere/final}"))


def test_a_kind_that_begins_is_no_spike(tiny) -> None:
    """The losses before it are forgotten, whether the run was whole or resumed there."""
    data = (
        "data={mixture: {colour: 1, describe: 9}, levels: {describe: [[0.5, 0.0]]}, rows: 2, length: 256, workers: 0}"
    )
    settings = ("steps=24", "spike={window: 8, above: 5}", "checkpoint.every=6")
    whole = Trainer(tiny(data, *settings, out="whole"))
    whole.run()
    assert len(whole.engine.spikes.losses) == 8 and not metrics(whole.recipe, "skipped")
    first = Trainer(tiny(data, *settings, out="pieces"))
    stop_after(first, 11, signal.SIGTERM)
    assert len(first.engine.spikes.losses) == 8
    second = Trainer(tiny(data, *settings, out="pieces"), resume=checkpoints(first.recipe.out)[-1])
    assert stop_after(second, 14, signal.SIGTERM).signal == signal.SIGTERM
    assert len(second.engine.spikes.losses) == 3

"""Two ranks train what one trains, in whatever way they share the network, and go on from one another's checkpoints."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pixelword.errors import RecipeError
from pixelword.training.checkpoints import checkpoints
from pixelword.training.parallel import world
from pixelword.training.recipe import Recipe
from pixelword.training.trainer import Outcome, Trainer

ADAMW = ("data.packs=2", "optimizer.name=adamw", "steps=4")


def train(recipe: Recipe, resume: Path | None = None) -> Outcome:
    with world(recipe) as ranks:
        return Trainer(recipe, resume=resume, world=ranks).run()


def losses(recipe: Recipe) -> dict[int, float]:
    lines = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["event"] == "train"}


def assert_alike(found: Recipe, expected: Recipe) -> None:
    """The same losses and, in the end, the same weights, to what float32 rounds."""
    assert losses(found) == pytest.approx(losses(expected), rel=1e-4)
    ours, theirs = (load_file(recipe.out / "final" / "model.safetensors") for recipe in (found, expected))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(("optimizer.ema=0.9", "data.packs=4", "validation={every: 2, generate: 1}"), id="sharded"),
        pytest.param(("trainable=[patch_embedding, pre_buffer, hw_projections]",), id="sharded, stage 1"),
        pytest.param(("trainable=[]", "lora={rank: 4}"), id="sharded, adapters"),
        pytest.param(("parallel.shard=1", "optimizer.name=muon", "data.packs=4"), id="copied, by Muon"),
    ],
)
def test_two_ranks_train_what_one_trains(tiny, on_ranks, overrides) -> None:
    item, two = (tiny(*ADAMW, *overrides, out=out) for out in ("one", "two"))
    train(item)
    on_ranks(2, lambda rank: train(two))
    assert_alike(two, item)


def test_four_ranks_hold_two_copies_of_the_shards(tiny, on_ranks) -> None:
    item, four = (tiny(*ADAMW, "data.packs=8", "steps=2", "parallel.shard=2", out=out) for out in ("one", "four"))
    train(item.model_copy(update={"parallel": tiny().parallel}))
    on_ranks(4, lambda rank: train(four))
    assert_alike(four, item)


@pytest.mark.parametrize("shard", [0, 1])
def test_a_rank_with_text_alone_waits_for_no_picture(tiny, on_ranks, shard) -> None:
    """Every parameter has a gradient on every rank, or ranks would sum different ones."""
    item, two = (tiny(*ADAMW, "steps=2", f"parallel.shard={shard}", out=out) for out in ("one", "two"))

    def job(recipe: Recipe) -> None:
        with world(recipe) as ranks:
            trainer = Trainer(recipe, world=ranks)
            trainer.source = SecondIsText(trainer.source)
            trainer.run()

    job(item.model_copy(update={"parallel": tiny().parallel}))
    on_ranks(2, lambda rank: job(two))
    assert_alike(two, item)


class SecondIsText:
    """The packs of a stage; every second one has lost its pictures, and its answers too."""

    packs_per_step = 2

    def __init__(self, source) -> None:
        self.source = source

    def costs(self, step: int) -> None:
        return None

    def __call__(self, number: int):
        pack = self.source(number)
        if number % 2 == 0:
            return pack
        return replace(
            pack,
            labels=torch.full_like(pack.labels, -100),
            loss_weight=torch.zeros_like(pack.loss_weight),
            mm_token_type_ids=torch.zeros_like(pack.mm_token_type_ids),
            pixel_values=pack.pixel_values[:0],
            image_grid_hw=pack.image_grid_hw[:0],
        )


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_ranks(tiny, on_ranks, before, after) -> None:
    """The same samples in the same order: the losses of the run that was never stopped."""
    recipe = tiny(*ADAMW, "checkpoint.every=2")
    run_on(on_ranks, before, lambda rank: train(recipe))
    expected = losses(recipe)
    run_on(on_ranks, after, lambda rank: train(recipe, resume=recipe.out / "checkpoints" / "step-00000002"))
    assert losses(recipe) == pytest.approx(expected, rel=1e-4)


def run_on(on_ranks, size: int, job) -> None:
    on_ranks(size, job) if size > 1 else job(0)


def test_a_signal_to_any_rank_stops_all_after_the_same_step(tiny, on_ranks) -> None:
    recipe = tiny(*ADAMW, "steps=50")

    def job(rank: int) -> None:
        with world(recipe) as ranks:
            trainer = Trainer(recipe, world=ranks)
            step = trainer.engine.step

            def signalled(packs, number, fraction):
                if rank == 1 and number == 2:
                    os.kill(os.getpid(), signal.SIGTERM)
                return step(packs, number, fraction)

            trainer.engine.step = signalled  # type: ignore[method-assign]
            outcome = trainer.run()
            assert (outcome.signal, outcome.progress.step) == (signal.SIGTERM, 3)

    on_ranks(2, job)
    assert checkpoints(recipe.out)[-1].name == "step-00000003"


def test_a_bad_step_of_one_rank_is_skipped_by_all_and_told_of_once(tiny, on_ranks) -> None:
    recipe = tiny(*ADAMW)

    def job(rank: int) -> None:
        with world(recipe) as ranks:
            trainer = Trainer(recipe, world=ranks)
            make = trainer.source.__call__

            class Poisoned(SecondIsText):
                def __call__(self, number: int):
                    pack = make(number)
                    pack = replace(pack, documents=(replace(pack.documents[0], name=f"colour:{number}"),))
                    weight = float("nan") if number == 3 else 1.0  # the second pack of the second step
                    return replace(pack, loss_weight=pack.loss_weight * weight)

            trainer.source = Poisoned(trainer.source)
            trainer.run()

    on_ranks(2, job)
    lines = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
    (skipped,) = [line for line in lines if line["event"] == "skipped"]
    assert skipped["step"] == 1 and skipped["samples"] == ["colour:2", "colour:3"] and skipped["packs"] == [2, 3]
    weights = load_file(recipe.out / "final" / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.packs=3",), "data.packs: 3 packs a step cannot be shared evenly by 2 ranks"),
        (("parallel.shard=3",), "parallel.shard: 3 GPUs are to share the weights"),
        (("optimizer.name=muon",), "muon needs whole matrices; set parallel.shard=1"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_starts(tiny, monkeypatch, overrides, message) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(RecipeError, match=message), world(tiny(*ADAMW, *overrides)):
        pass

"""Training on a GPU, with everything that is meant for it: flex attention, compiled layers, selective checkpointing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelword.training.parallel import World, world
from pixelword.training.trainer import Trainer

pytestmark = pytest.mark.gpu

GPU = ("device=cuda", "attention=flex_attention", "compile=true", "activation_checkpointing=selective")


def losses(out: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["event"] == "train"}


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 2e-2)])
def test_a_gpu_trains_what_a_cpu_trains(tiny: Any, precision: str, tolerance: float) -> None:
    item, other = tiny("device=cpu", out="cpu"), tiny(*GPU, f"precision={precision}", out="gpu")
    for recipe in (item, other):
        with world(recipe) as ranks:
            Trainer(recipe, world=ranks).run()
    assert losses(other.out) == pytest.approx(losses(item.out), rel=tolerance)


def test_layers_compile_once_for_all_packs(tiny: Any) -> None:
    """A pack's interval is data: other boundaries are no reason to compile anew."""
    trainer = Trainer(tiny(*GPU), world=World(device=torch.device("cuda")))
    torch._dynamo.reset()
    trainer.engine.step([trainer.source(0)], 0, 0.0)
    with torch.compiler.set_stance("fail_on_recompile"):
        steps = [trainer.engine.step([trainer.source(number)], number, 0.5) for number in (1, 2, 3)]
    assert [step.skipped for step in steps] == [None, None, None]


def test_a_run_resumes_on_a_gpu(tiny: Any) -> None:
    recipe = tiny("device=cuda", "attention=sdpa", "checkpoint.every=3")
    with world(recipe) as ranks:
        Trainer(recipe, world=ranks).run()
    before = losses(recipe.out)
    with world(recipe) as ranks:
        Trainer(recipe, world=ranks, resume=recipe.out / "checkpoints" / "step-00000003").run()
    assert losses(recipe.out) == pytest.approx(before, rel=1e-4)

"""Trains and measures what an ablation asks for; stopped at any moment, the same command goes on.

Several processes may share a folder: each leaves to the others what they are at work on, and takes what is next.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import load_file

from pixelword.data.types import Pack
from pixelword.errors import CheckpointError, reason
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.training.building import Builder, build_processor, precision
from pixelword.training.checkpoints import checkpoints
from pixelword.training.launch import record
from pixelword.training.parallel import World, world
from pixelword.training.synthetic import DrawnPacks
from pixelword.training.trainer import Trainer
from pixelword.training.validation import answer_columns, exact_documents, uncompiled
from pixelword.utils.files import atomic_write, try_lock
from pixelword_lab.ablations.growing import build_language_model, grown
from pixelword_lab.ablations.jobs import Cell, Job
from pixelword_lab.ablations.network import build

#: Seconds between looks at what another process is at work on, when nothing else is left.
_WAIT = 20.0


class _Taken(Exception):
    """Another process is at work on this folder."""


def run(found: Sequence[Cell], say: Callable[[str], None], console: Console | None = None) -> int | None:
    """Everything that is not done yet, in order; the number of the signal that stopped it, None at the end.

    What another process is at work on comes last, and is waited for. Raises RecipeError, CheckpointError: as a stage's
    training does.
    """
    left, announced = list(enumerate(found, 1)), ""
    while left:
        taken: list[tuple[int, Cell]] = []
        where = ""
        for number, cell in left:
            try:
                stopped = _run(cell, f"{number} of {len(found)}, {cell}", say, console)
            except _Taken as error:
                taken.append((number, cell))
                where = str(error)
                continue
            if stopped is not None:
                return stopped
        if len(taken) == len(left):  # nothing was done
            if where != announced:
                say(f"waiting for another process, which is at work on {where}")
                announced = where
            time.sleep(_WAIT)
        left = taken
    return None


def _run(cell: Cell, name: str, say: Callable[[str], None], console: Console | None) -> int | None:
    """What is not there of one cell; as `run`. Raises _Taken."""
    if cell.result.exists():
        return None
    for job in cell.job.chain:
        if job.facts.exists():
            continue
        with _claimed(job.folder):
            if not job.facts.exists():
                say(f"{name}: {job.recipe.stage}, {job.recipe.steps} steps -> {job.folder}")
                if (stopped := train(job, console)) is not None:
                    return stopped
    with _claimed(cell.job.folder):
        if not cell.result.exists():
            figures = measure(cell)
            atomic_write(cell.result, json.dumps(figures, indent=1))
            say(f"{name}: {100 * figures['exact']:.1f} % right")
    return None


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """While this process, and no other, works on a stage.

    Raises _Taken: another one does. CheckpointError: the folder cannot be written.
    """
    try:
        file = try_lock(folder / ".claim")
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot write there: {reason(error)}; mend it, or name another --out"
        ) from error
    if file is None:
        raise _Taken(folder)
    with file:
        yield


def train(job: Job, console: Console | None = None) -> int | None:
    """One stage, from its newest checkpoint where there is one; the signal that stopped it, None when it is done."""
    recipe = job.recipe
    if job.growth is not None:
        assert job.before is not None and recipe.model.from_ is not None
        if not recipe.model.from_.is_dir():
            grown(job.before.folder / "final", recipe.model.from_, job.growth, recipe.seed)
    saved = checkpoints(job.folder)
    with world(recipe) as ranks:
        newest = saved[-1] if saved else None
        trainer = Trainer(recipe, resume=newest, console=console, world=ranks, build=builder(job))
        record(trainer.recipe)
        outcome = trainer.run()
    if outcome.signal is not None:
        return outcome.signal
    if not job.network.plain:  # nothing shall take it for one of ours
        (job.folder / "final" / "config.json").replace(job.folder / "final" / "variant-config.json")
    facts = {"seconds": round(outcome.progress.elapsed, 1), "parameters": trainer.model.num_parameters()}
    atomic_write(job.facts, json.dumps(facts))
    shutil.rmtree(job.folder / "checkpoints")
    return None


def builder(job: Job) -> Builder:
    return build_language_model if job.language else partial(build, job.network)


def trained(job: Job) -> NeoOVForConditionalGeneration:
    """The network that a stage left, in float32."""
    model = builder(job)(job.recipe, build_processor(job.recipe))
    missing, strange = model.load_state_dict(load_file(job.weights), strict=False)
    tied = set(model.all_tied_weights_keys)
    if strange or set(missing) - tied:
        named = sorted(strange or set(missing) - tied)[0]
        raise CheckpointError(f"{job.weights} does not fit its recipe ({named}): delete {job.folder}, and run it again")
    return model.eval()


@torch.no_grad()
def measure(cell: Cell) -> dict[str, Any]:
    """What the last stage's network makes of held-out questions.

    Returns:
        "kinds": of each kind the questions asked, the answers right to the letter with the image and with a blank
        one, and the loss of a token. "exact", "blank", "loss": means over the kinds. "seconds": of training, over all
        stages. "parameters": of the network.
    """
    recipe = cell.job.recipe
    processor = build_processor(recipe)
    packs, level = DrawnPacks(recipe, processor), recipe.validation.level if recipe.validation else 1.0
    model = trained(cell.job)
    kinds: dict[str, dict[str, float]] = {}
    for kind in cell.kinds:
        own = [packs.held_out(kind, number, level) for number in range(cell.ablation.packs)]
        total, right, loss = _read(model, own, cell.job)
        _, blank, _ = _read(model, own, cell.job, blank=True)
        kinds[kind] = {"asked": total, "right": right, "blank": blank, "loss": round(loss, 4)}
    facts = [json.loads(job.facts.read_text(encoding="utf-8")) for job in cell.job.chain]
    return {
        "kinds": kinds,
        "exact": _mean([item["right"] / item["asked"] for item in kinds.values()]),
        "blank": _mean([item["blank"] / item["asked"] for item in kinds.values()]),
        "loss": _mean([item["loss"] for item in kinds.values()]),
        "seconds": round(sum(fact["seconds"] for fact in facts), 1),
        "parameters": facts[-1]["parameters"],
    }


def _read(
    model: NeoOVForConditionalGeneration, packs: Sequence[Pack], job: Job, blank: bool = False
) -> tuple[int, int, float]:
    """(questions, answers right to the letter, weighted mean loss); blank: every image is the mean colour."""
    total = right = 0
    loss = weight = 0.0
    for pack in packs:
        columns, inputs = answer_columns(pack), pack.inputs()
        if blank and "pixel_values" in inputs:
            inputs["pixel_values"] = torch.zeros_like(inputs["pixel_values"])
        with uncompiled(model), precision(job.recipe, World()):
            output = model(**inputs, logits_to_keep=columns)
        found, documents = exact_documents(output.logits, pack, columns)
        total, right = total + documents, right + found
        loss, weight = loss + output.loss.item() * pack.weight, weight + pack.weight
    return total, right, loss / max(weight, 1e-12)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def figures_of(cell: Cell) -> dict[str, Any] | None:
    """What was measured, None where it was not."""
    return json.loads(cell.result.read_text(encoding="utf-8")) if cell.result.exists() else None

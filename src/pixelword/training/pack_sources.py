"""Opens the training and validation packs of a recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from pixelword.data.index import Index
from pixelword.data.indexing import Progress, open_indexes
from pixelword.data.pack_dataset import FilePacks
from pixelword.data.packing.plan import Part, Plan, shares_of
from pixelword.data.quarantine import Quarantine
from pixelword.data.sources import Source, media_options
from pixelword.data.types import PackSource
from pixelword.errors import RecipeError
from pixelword.training.synthetic import DrawnPacks
from pixelword.training.validation import HeldOut, drawn_held_out
from pixelword.utils.files import atomic_write

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.training.recipe import Recipe

SET_ASIDE, QUARANTINE = "set_aside.jsonl", "quarantine.jsonl"


def open_packs(recipe: Recipe, processor: NeoOVProcessor, *, progress: Progress | None = None) -> PackSource:
    """Open the training packs: samples in files, or synthetic tasks. Missing indexes are built first.

    All ranks may call this: one builds an index, the others wait. progress: callback for a progress bar.
    Raises RecipeError, also if more samples than `data.max_bad` are unusable.
    """
    if not recipe.data.sources:
        return DrawnPacks(recipe, processor)
    sources, indexes = open_indexes(recipe.data, processor, progress=progress)
    _check_faults(recipe.data, sources, indexes)
    plan = Plan(indexes, processor, recipe.data, seed=recipe.seed, steps=recipe.steps)
    return FilePacks(plan, sources, processor, _quarantine(recipe), recipe.loss_weight)


def open_held_out(recipe: Recipe, processor: NeoOVProcessor, *, progress: Progress | None = None) -> HeldOut:
    """What a stage is tried on. Files: `validation.sources`, or what `data.holdout` keeps from training; drawn tasks:
    their held-out split.

    Raises RecipeError when there is neither.
    """
    assert recipe.validation is not None
    if not recipe.data.sources and not recipe.validation.sources:
        return drawn_held_out(recipe, DrawnPacks(recipe, processor))
    part: Part = "held_out"
    data = recipe.data
    if recipe.validation.sources:
        data, part = data.model_copy(update={"sources": recipe.validation.sources, "mixture": {}}), "all"
    elif not data.holdout:
        raise RecipeError("validation: no data; give data.holdout or validation.sources")
    sources, indexes = open_indexes(data, processor, progress=progress)
    packs, questions = {}, []
    for name in shares_of(data):
        item = {"sources": {name: data.sources[name]}, "mixture": {}, "length": data.longest, "packs": 1}
        plan = Plan(indexes, processor, data.model_copy(update=item), part=part)
        here = FilePacks(plan, sources, processor, _quarantine(recipe), recipe.loss_weight)
        numbers = (number for number in range(recipe.validation.packs) if plan.passes(number) < 1)
        packs[name] = [here(number) for number in numbers]
        questions.append(here.samples(recipe.validation.generate))
    in_turn = [sample for turn in zip_longest(*questions) for sample in turn if sample is not None]
    return HeldOut(packs, in_turn[: recipe.validation.generate], media_options(data))


def record_set_aside(packs: FilePacks, out: Path) -> str | None:
    """Write skipped samples to `out/set_aside.jsonl`; return a line for the log, or None if there are none."""
    left_out = list(packs.set_aside())
    path = out / SET_ASIDE
    if not left_out:
        path.unlink(missing_ok=True)
        return None
    lines = (json.dumps({"name": fault.name, "reason": fault.reason}, ensure_ascii=False) for fault in left_out)
    atomic_write(path, "".join(f"{line}\n" for line in lines))
    return f"{len(left_out):,} samples set aside, {left_out[0].name}: {left_out[0].reason}; all are in {path}"


def _quarantine(recipe: Recipe) -> Quarantine:
    return Quarantine(recipe.out / QUARANTINE, recipe.data.max_bad)


def _check_faults(data: DataRecipe, sources: Mapping[str, Source], indexes: Mapping[str, Index]) -> None:
    """Raise RecipeError if a source has more unusable samples than `data.max_bad` allows."""
    for name, index in indexes.items():
        if len(index.faults) > data.max_bad * len(index):
            first = min(index.faults)
            raise RecipeError(
                f"data.sources.{name}: {len(index.faults):,} of {len(index):,} samples cannot be used, more than "
                f"data.max_bad ({data.max_bad:.2%}) allows; the first is {sources[name].where(first)}: "
                f"{index.faults[first]}; `pixelword data check` names all of them"
            )

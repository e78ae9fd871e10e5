"""Surveys a stage's data before training: statistics, and sheets for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pixelword.data.indexing import open_indexes
from pixelword.data.pack_dataset import FilePacks
from pixelword.data.recipe import drawn_names
from pixelword.data.sources import Source, media_options, open_sources
from pixelword.data.stats import (
    Measures,
    PacksReport,
    Report,
    measure_encoded,
    measure_index,
    packs_report,
    report,
)
from pixelword.data.types import Fault, PackSource
from pixelword.data.view import Sheet, pack_sheet, sample_sheet
from pixelword.errors import PixelwordError
from pixelword.processing.types import Sample
from pixelword.training.pack_sources import open_packs
from pixelword.training.recipe import Recipe
from pixelword.training.subject import Subject
from pixelword.training.synthetic import DrawnPacks

if TYPE_CHECKING:
    from pixelword.processing.processor import NeoOVProcessor

_SEED = 4_241  # of the drawn samples that are looked at, whatever the recipe's own


class Survey(Protocol):
    """Interface of a survey."""

    def report(self, samples: int, packs: int) -> Report:
        """Return statistics of `packs` packs, and of whole files or `samples` synthetic samples per kind."""

    def sheets(self, samples: int, packs: int) -> Iterator[Sheet]:
        """Return sheets of `packs` packs, then of `samples` samples per source or kind."""


def survey(subject: Subject, step: int = 0) -> Survey:
    """Return the survey of a subject, starting at step `step` of its stage."""
    if subject.data.sources:
        return FileSurvey(subject, step)
    assert subject.recipe is not None
    return DrawnSurvey(subject.recipe, subject.processor, step)


@dataclass(frozen=True)
class FileSurvey:
    """Survey of samples in files. Files without a recipe have no packs."""

    subject: Subject
    step: int = 0

    def report(self, samples: int, packs: int) -> Report:
        """See `Survey`."""
        data, processor = self.subject.data, self.subject.processor
        _, indexes = open_indexes(data, processor)
        measured = {name: measure_index(index, processor, media_options(data)) for name, index in indexes.items()}
        side = processor.image_processor.patch_size * processor.image_processor.merge_size
        source = self._packs()
        if source is None:
            return report(measured, {name: len(item.tokens) for name, item in measured.items()}, side)
        aside = Counter(item.source for item in source.plan.set_aside())
        for name, item in measured.items():
            measured[name] = replace(item, left_out=max(aside[name] - item.faults, 0))
        return report(measured, source.plan.shares, side, self._planned(source, packs))

    def sheets(self, samples: int, packs: int) -> Iterator[Sheet]:
        """See `Survey`."""
        source = self._packs() if packs else None
        if source is not None:
            yield from _pack_sheets(source, self.step, packs)
        for name, files in open_sources(self.subject.data).items():
            for i in np.unique(np.linspace(0, len(files) - 1, samples).astype(int)).tolist():
                yield self._sheet(files, name, i)

    def _packs(self) -> FilePacks | None:
        """Open the packs of the stage, with any number of bad samples."""
        recipe = self.subject.recipe
        if recipe is None:
            return None
        data = recipe.data.model_copy(update={"max_bad": 1.0})
        source = open_packs(recipe.model_copy(update={"data": data}), self.subject.processor)
        assert isinstance(source, FilePacks)
        return source

    def _planned(self, source: FilePacks, count: int) -> PacksReport:
        """Compute from the plan only, without reading samples."""
        first = self.step * source.packs_per_step
        numbers = range(first, first + count)
        packs = [source.plan.pack(number) for number in numbers]
        steps = {number // source.packs_per_step for number in numbers}
        costs = {step: source.plan.costs(step) for step in steps}
        return packs_report(
            tokens=[sum(planned.tokens for planned in pack) for pack in packs],
            documents=[len(pack) for pack in packs],
            pairs=[costs[number // source.packs_per_step][number % source.packs_per_step] for number in numbers],
            room=sum(source.plan.data.rows * source.plan.length(number) for number in numbers),
        )

    def _sheet(self, files: Source, name: str, i: int) -> Sheet:
        """Return sample i of a source, or why it cannot be read."""
        where = files.where(i)
        try:
            sample = files.read(i)
        except PixelwordError as error:
            return Sheet(where, name, None, faults=(Fault(where, str(error).removeprefix(f"{where}: ")),))
        media = media_options(self.subject.data)
        weight = self.subject.recipe.loss_weight if self.subject.recipe else "square"
        return sample_sheet(sample, where, name, self.subject.processor, media=media, loss_weight=weight)


@dataclass(frozen=True)
class DrawnSurvey:
    """Survey of synthetic tasks, at the level of step `step`."""

    recipe: Recipe
    processor: NeoOVProcessor
    step: int = 0

    @cached_property
    def _packs(self) -> DrawnPacks:
        return DrawnPacks(self.recipe, self.processor)

    def report(self, samples: int, packs: int) -> Report:
        """See `Survey`."""
        images = self.processor.image_processor
        mixture = self.recipe.data.mixture
        measured = {kind: self._measured(kind, samples) for kind in mixture}
        return report(measured, mixture, images.patch_size * images.merge_size, self._drawn(packs))

    def sheets(self, samples: int, packs: int) -> Iterator[Sheet]:
        """See `Survey`."""
        yield from _pack_sheets(self._packs, self.step, packs)
        weight = self.recipe.loss_weight
        for kind in self.recipe.data.mixture:
            for number in range(samples):
                sample = self._sample(kind, number)
                yield sample_sheet(
                    sample, f"{kind} {number}", "drawn", self.processor, media=self._packs.media, loss_weight=weight
                )

    def _sample(self, kind: str, number: int) -> Sample:
        data = self.recipe.data
        rng = np.random.default_rng((_SEED, drawn_names(data.tasks).index(kind), number))
        level = data.level_at(self.step / self.recipe.steps, kind)
        own = level * rng.random() if rng.random() < data.easier else level
        return self._packs.tasks.of_kind(kind, rng, own, "train", data.turns)

    def _measured(self, kind: str, samples: int) -> Measures:
        drawn = (self._sample(kind, number) for number in range(samples))
        encoded = (self.processor.encode(sample.messages, media=self._packs.media) for sample in drawn)
        return measure_encoded(encoded, self.processor.image_processor.patch_size)

    def _drawn(self, count: int) -> PacksReport:
        source = self._packs
        first = self.step * source.packs_per_step
        drawn = [source(number) for number in range(first, first + count)]
        return packs_report(
            tokens=[pack.tokens for pack in drawn],
            documents=[len(pack.documents) for pack in drawn],
            pairs=[pack.pairs for pack in drawn],
            room=sum(pack.input_ids.numel() for pack in drawn),
        )


def _pack_sheets(source: PackSource, step: int, count: int) -> Iterator[Sheet]:
    first = step * source.packs_per_step
    for number in range(first, first + count):
        yield pack_sheet(source(number), number)

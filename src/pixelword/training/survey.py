"""What a recipe's data looks like before anything is trained on it: its numbers, and pages to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelword.data.documents import documents
from pixelword.data.schema import Sample
from pixelword.data.stats import PacksReport, Report, measure_encoded, packs_report, report
from pixelword.data.view import Sheet, pack_sheet, pad_id, sample_sheet
from pixelword.tasks import nano
from pixelword.training.drawn import DrawnPacks

if TYPE_CHECKING:
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.training.recipe import Recipe

_SEED = 4_241  # of the samples that are drawn to look at, whatever the recipe's own


@dataclass(frozen=True)
class DrawnSurvey:
    """Of drawn tasks, as they are drawn from step `step` of the stage on."""

    recipe: Recipe
    processor: NeoOVProcessor
    step: int = 0

    def report(self, samples: int, packs: int) -> Report:
        """From `samples` of each kind, and from `packs` packs."""
        patch = self.processor.image_processor.patch_size
        measured = {
            kind: measure_encoded(
                (self.processor.encode(self._sample(kind, number).messages) for number in range(samples)), patch
            )
            for kind in self.recipe.data.mixture
        }
        side = patch * self.processor.image_processor.merge_size
        return report(measured, self.recipe.data.mixture, side, self._packs(packs))

    def sheets(self, samples: int, packs: int) -> Iterator[Sheet]:
        """`packs` packs, then `samples` samples of each kind."""
        yield from pack_sheets(DrawnPacks(self.recipe, self.processor), self.step, packs)
        for kind in self.recipe.data.mixture:
            for number in range(samples):
                sample = self._sample(kind, number)
                yield sample_sheet(
                    sample, f"{kind} {number}", "drawn", self.processor, loss_weight=self.recipe.loss_weight
                )

    def _sample(self, kind: str, number: int) -> Sample:
        data = self.recipe.data
        rng = np.random.default_rng((_SEED, list(nano.KINDS).index(kind), number))
        level = data.level_at(self.step / self.recipe.steps)
        own = level * rng.random() if rng.random() < data.easier else level
        return nano.draw(kind, rng, level=own, turns=data.turns)

    def _packs(self, count: int) -> PacksReport | None:
        source = DrawnPacks(self.recipe, self.processor)
        first = self.step * source.packs_per_step
        drawn = [source(number) for number in range(first, first + count)]
        options: Mapping[str, Any] = {
            "pad_token_id": pad_id(self.processor),
            "merge_size": self.processor.image_processor.merge_size,
        }
        held = [sum(not one.padding for one in documents(pack, **options)) for pack in drawn]
        room = sum(pack.input_ids.numel() for pack in drawn)
        return packs_report([pack.tokens for pack in drawn], held, [pack.pairs for pack in drawn], room)


def pack_sheets(source: Any, step: int, count: int) -> Iterator[Sheet]:
    """Sheets of `count` packs, from those of step `step` on."""
    first = step * source.packs_per_step
    for number in range(first, first + count):
        yield pack_sheet(source(number), number)

"""Packs of synthetic samples generated on the fly: pack k is a pure function of (recipe, k)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixelword.data.packing.packer import Packer, seeded_pack
from pixelword.data.recipe import drawn_names
from pixelword.data.sources import media_options
from pixelword.data.types import Pack
from pixelword.processing.types import Sample
from pixelword.training.curriculum import curriculum

if TYPE_CHECKING:
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.processing.types import Encoded
    from pixelword.training.recipe import Recipe

_HELD_OUT = 7_919  # seed of validation, the same in all stages, so that their numbers compare


class DrawnPacks:
    """`packs(number)` generates a training pack, `held_out(kind, i, level)` a held-out pack of one kind.

    Raises RecipeError if asset packs of the tasks are missing.
    """

    def __init__(self, recipe: Recipe, processor: NeoOVProcessor) -> None:
        self.recipe, self.processor = recipe, processor
        self.packs_per_step = recipe.data.packs
        self.tasks = curriculum(recipe.data)
        self.media = media_options(recipe.data)
        self.pad_token_id = processor.pad_token_id

    def fraction(self, k: int) -> float:
        """Return the fraction of the stage before pack k's step, 0 to 1."""
        return k // self.packs_per_step / self.recipe.steps

    def length(self, k: int) -> int:
        """Return the row length of pack k."""
        return self.recipe.data.length_at(self.fraction(k))

    def costs(self, step: int) -> None:
        """Return None: synthetic packs have equal costs."""

    def __call__(self, number: int) -> Pack:
        data = self.recipe.data
        fraction, length = self.fraction(number), self.length(number)

        def draw(rng: np.random.Generator) -> Encoded:
            # what is longer than a row is drawn again, with one question; packing refuses what is still too long
            for turns in self.tasks.tries(data.turns):
                encoded = self._encode(self.tasks.mixed(rng, fraction, turns))
                if len(encoded) <= length:
                    break
            return encoded

        return seeded_pack(draw, self._packer(length), (self.recipe.seed, number))

    def question(self, kind: str, number: int, level: float) -> Sample:
        """Return a held-out question of one kind: the first of its held-out pack `number`."""
        return self.tasks.of_kind(kind, np.random.default_rng(self._seed(kind, number)), level, "test", 1)

    def held_out(self, kind: str, number: int, level: float) -> Pack:
        """Generate a held-out pack of one kind, one question per image."""
        length = self.recipe.data.longest

        def draw(rng: np.random.Generator) -> Encoded:
            for turns in self.tasks.tries(1)[1:]:
                encoded = self._encode(self.tasks.of_kind(kind, rng, level, "test", turns))
                if len(encoded) <= length:
                    break
            return encoded

        return seeded_pack(draw, self._packer(length), self._seed(kind, number))

    def _encode(self, sample: Sample) -> Encoded:
        return self.processor.encode(sample.messages, media=self.media)

    def _seed(self, kind: str, number: int) -> list[int]:
        return [_HELD_OUT, drawn_names(self.recipe.data.tasks).index(kind), number]

    def _packer(self, length: int) -> Packer:
        return Packer(self.recipe.data.rows, length, self.pad_token_id, self.recipe.loss_weight)

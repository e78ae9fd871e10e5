"""The packs of a stage whose samples are drawn on the fly: pack k is a pure function of (recipe, k)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixelword.data.packing import Packer, seeded_pack
from pixelword.data.schema import Pack, Sample
from pixelword.tasks import nano

if TYPE_CHECKING:
    from pixelword.processing.conversation import Encoded
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.training.recipe import Recipe

_HELD_OUT = 7_919  # seed of validation, the same in all stages, so that their numbers compare


class DrawnPacks:
    """`packs(number)` draws a training pack; `held_out(kind, i, level)` a pack of one kind from the held-out split."""

    def __init__(self, recipe: Recipe, processor: NeoOVProcessor) -> None:
        self.recipe, self.processor = recipe, processor
        self.packs_per_step = recipe.data.packs
        tokenizer = processor.tokenizer
        self.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    def level(self, k: int) -> float:
        """Level of pack k, and so of its step."""
        return self.recipe.data.level_at(k // self.packs_per_step / self.recipe.steps)

    def length(self, k: int) -> int:
        """Length of pack k's rows."""
        return self.recipe.data.length_at(k // self.packs_per_step / self.recipe.steps)

    def costs(self, step: int) -> None:
        """Drawn packs cost alike."""

    def __call__(self, number: int) -> Pack:
        data = self.recipe.data
        level, length = self.level(number), self.length(number)

        def draw(rng: np.random.Generator) -> Encoded:
            own = level * rng.random() if rng.random() < data.easier else level
            # a conversation longer than a row is drawn anew, with one question; packing refuses what is still too long
            for turns in (data.turns, 1):
                sample = nano.draw_mixture(rng, data.mixture, level=own, split="train", turns=turns)
                encoded = self.processor.encode(sample.messages)
                if len(encoded) <= length:
                    break
            return encoded

        return seeded_pack(draw, self._packer(length), (self.recipe.seed, number))

    def question(self, kind: str, number: int, level: float) -> Sample:
        """A held-out question of one kind: the first one of its held-out pack `number`."""
        return nano.draw(kind, np.random.default_rng(self._seed(kind, number)), level=level, split="test")

    def held_out(self, kind: str, number: int, level: float) -> Pack:
        def draw(rng: np.random.Generator) -> Encoded:
            return self.processor.encode(nano.draw(kind, rng, level=level, split="test").messages)

        return seeded_pack(draw, self._packer(self.recipe.data.longest), self._seed(kind, number))

    @staticmethod
    def _seed(kind: str, number: int) -> list[int]:
        return [_HELD_OUT, list(nano.KINDS).index(kind), number]

    def _packer(self, length: int) -> Packer:
        return Packer(self.recipe.data.rows, length, self.pad_token_id, self.recipe.loss_weight)

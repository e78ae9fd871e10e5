"""mini's families as training draws them: the entry point `mini` of `pixelword.tasks`."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import numpy as np

from pixelword.errors import RecipeError
from pixelword.processing.types import Sample
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Split
from pixelword.training.curriculum import open_pack
from pixelword_lab.family import NAMES, Family, family

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe

_TRIES = 16  # draws of one place in a pack, before one that is too long for a row is an error


class FamilyTasks:
    """mini's families, a `Curriculum`; the level does not matter to them.

    NAMES: what a mixture may name.
    """

    NAMES = NAMES

    def __init__(self, data: DataRecipe) -> None:
        self._assets = Assets(data.assets)
        self._names = [name for name, weight in data.mixture.items() if weight > 0]
        shares = np.array([data.mixture[name] for name in self._names], dtype=np.float64)
        self._shares = shares / shares.sum()
        for name in self._names:
            self._check(name, family(name))

    def _check(self, name: str, item: Family) -> None:
        """RecipeError unless everything that the family draws from can be opened."""
        for pack in item.needs if item.pool is None else ():
            open_pack(self._assets, pack, name)
        if item.pool is not None and not self._assets.has(item.pool):
            raise RecipeError(
                f"data.mixture: {name} is drawn from the pool {self._assets.folder / item.pool}.zip, which is missing: "
                f"pixelword tasks render {name}"
            )

    def mixed(self, rng: np.random.Generator, fraction: float, turns: int) -> Sample:
        name = self._names[int(rng.choice(len(self._names), p=self._shares))]
        return self.of_kind(name, rng, 1.0, "train", turns)

    def of_kind(self, kind: str, rng: np.random.Generator, level: float, split: Split, turns: int) -> Sample:
        # the split is part of the seed, so that equal generators draw unlike tasks for training and for the test
        random = Random(f"{kind} {split} {rng.integers(2**63)}")
        return family(kind).draw(random, split, self._assets).sample(turns)

    def tries(self, turns: int) -> tuple[int, ...]:
        return (turns, 1) * (_TRIES // 2)

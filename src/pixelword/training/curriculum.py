"""The two kinds of drawn tasks behind one interface: nano's kinds by level, and mini's families from asset packs."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pixelword.errors import AssetError, RecipeError
from pixelword.processing.types import Sample
from pixelword.tasks import nano
from pixelword.tasks.assets import Assets
from pixelword.tasks.family import Family, Split, family

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe

_TRIES = 16  # draws of one place in a pack, before one that is too long for a row is an error


class Curriculum(Protocol):
    """Samples as a recipe wants them; every draw is a pure function of the generator's state."""

    def mixed(self, rng: np.random.Generator, fraction: float, turns: int) -> Sample:
        """A training sample of up to `turns` questions, as the recipe wants them at a fraction of the stage's steps."""

    def one(self, kind: str, rng: np.random.Generator, level: float, split: Split, turns: int) -> Sample:
        """A sample of this kind."""

    def tries(self, turns: int) -> tuple[int, ...]:
        """Most questions of a sample, and of each one drawn in its place when it is too long for a row."""


def curriculum(data: DataRecipe) -> Curriculum:
    """The drawn tasks of a recipe. Raises RecipeError when the packs that they are made of are not there."""
    return NanoTasks(data) if data.tasks == "nano" else FamilyTasks(data)


class NanoTasks:
    """nano's drawn tasks."""

    def __init__(self, data: DataRecipe) -> None:
        """Raises RecipeError: what is read in training is drawn with packs that are not there."""
        self._data, self._assets = data, Assets(data.assets)
        if reading := [kind for kind in data.mixture if kind in nano.READING]:
            for pack in ("fonts", "words"):
                _open(self._assets, pack, reading[0])

    def mixed(self, rng: np.random.Generator, fraction: float, turns: int) -> Sample:
        kind = nano.draw_kind(rng, self._data.mixture_at(fraction))
        level = self._data.level_at(fraction, kind)
        own = level * rng.random() if rng.random() < self._data.easier else level
        return self.one(kind, rng, own, "train", turns)

    def one(self, kind: str, rng: np.random.Generator, level: float, split: Split, turns: int) -> Sample:
        return nano.draw(kind, rng, level=level, split=split, turns=turns, assets=self._assets)

    def tries(self, turns: int) -> tuple[int, ...]:
        return (turns, 1)  # nano's samples are short


class FamilyTasks:
    """mini's families; the level does not matter to them."""

    def __init__(self, data: DataRecipe) -> None:
        self._assets = Assets(data.assets)
        self._names = [name for name, weight in data.mixture.items() if weight > 0]
        shares = np.array([data.mixture[name] for name in self._names], dtype=np.float64)
        self._shares = shares / shares.sum()
        for name in self._names:
            self._check(name, family(name))

    def _check(self, name: str, one: Family) -> None:
        """RecipeError unless everything that the family draws from can be opened."""
        for pack in one.needs if one.pool is None else ():
            _open(self._assets, pack, name)
        if one.pool is not None and not self._assets.has(one.pool):
            raise RecipeError(
                f"data.mixture: {name} is drawn from the pool {self._assets.folder / one.pool}.zip, which is missing: "
                f"pixelword tasks render {name}"
            )

    def mixed(self, rng: np.random.Generator, fraction: float, turns: int) -> Sample:
        name = self._names[int(rng.choice(len(self._names), p=self._shares))]
        return self.one(name, rng, 1.0, "train", turns)

    def one(self, kind: str, rng: np.random.Generator, level: float, split: Split, turns: int) -> Sample:
        # the split is part of the seed, so that equal generators draw unlike tasks for training and for the test
        random = Random(f"{kind} {split} {rng.integers(2**63)}")
        return family(kind).draw(random, split, self._assets).sample(turns)

    def tries(self, turns: int) -> tuple[int, ...]:
        return (turns, 1) * (_TRIES // 2)


def _open(assets: Assets, pack: str, name: str) -> None:
    try:
        assets.pack(pack)
    except AssetError as error:
        raise RecipeError(f"data.mixture: {name} needs a pack: {error}") from error

"""Synthetic tasks behind one interface: nano's kinds by level, and those of plugins (`pixelword.tasks`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from pixelword import plugins
from pixelword import synthetic as nano
from pixelword.errors import AssetError, RecipeError
from pixelword.processing.types import Sample
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Split

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe


class Curriculum(Protocol):
    """Generates samples for a recipe; each is a pure function of the generator's state."""

    def mixed(self, rng: np.random.Generator, fraction: float, turns: int) -> Sample:
        """Generate a training sample of up to `turns` questions, for a fraction of the stage's steps."""

    def of_kind(self, kind: str, rng: np.random.Generator, level: float, split: Split, turns: int) -> Sample:
        """Generate a sample of this kind."""

    def tries(self, turns: int) -> tuple[int, ...]:
        """Most questions of a sample, and of each one drawn in its place when it is too long for a row."""


def curriculum(data: DataRecipe) -> Curriculum:
    """Return the synthetic tasks of a recipe. Raises RecipeError if their asset packs are missing."""
    if data.tasks == "nano":
        return NanoTasks(data)
    drawn: Curriculum = plugins.load(plugins.TASKS, data.tasks)(data)
    return drawn


class NanoTasks:
    """nano's synthetic tasks."""

    def __init__(self, data: DataRecipe) -> None:
        """Raises RecipeError: what is read in training is drawn with packs that are not there."""
        self._data, self._assets = data, Assets(data.assets)
        if reading := [kind for kind in data.mixture if kind in nano.READING]:
            for pack in ("fonts", "words"):
                open_pack(self._assets, pack, reading[0])

    def mixed(self, rng: np.random.Generator, fraction: float, turns: int) -> Sample:
        kind = nano.draw_kind(rng, self._data.mixture_at(fraction))
        level = self._data.level_at(fraction, kind)
        own = level * rng.random() if rng.random() < self._data.easier else level
        return self.of_kind(kind, rng, own, "train", turns)

    def of_kind(self, kind: str, rng: np.random.Generator, level: float, split: Split, turns: int) -> Sample:
        return nano.draw(kind, rng, level=level, split=split, turns=turns, assets=self._assets)

    def tries(self, turns: int) -> tuple[int, ...]:
        return (turns, 1)  # nano's samples are short


def open_pack(assets: Assets, pack: str, name: str) -> None:
    """Raise RecipeError if an asset pack of the kind or family `name` cannot be opened."""
    try:
        assets.pack(pack)
    except AssetError as error:
        raise RecipeError(f"data.mixture: {name} needs a pack: {error}") from error

"""`epochs` of a recipe as steps: exactly, from the plan of its packs, or as a dry run expects them."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from pixelword.data.indexing import open_indexes
from pixelword.data.packing.plan import Plan
from pixelword.data.sources import open_source
from pixelword.errors import RecipeError

if TYPE_CHECKING:
    from pixelword.data.recipe import SourceRecipe
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.training.recipe import Recipe

#: Samples of a source whose files are not here, for a dry run.
ASSUMED = 1000


def counted(recipe: Recipe, processor: NeoOVProcessor) -> Recipe:
    """The recipe with steps in place of epochs, counted by the plan. Indexes that are missing are made first."""
    if recipe.epochs is None:
        return recipe
    _, indexes = open_indexes(recipe.data, processor)
    plan = Plan(indexes, processor, recipe.data, seed=recipe.seed)
    return _with_steps(recipe, recipe.epochs * plan.steps_per_epoch)


def expected(recipe: Recipe) -> Recipe:
    """The same from the number of samples and `data.expect` alone; says on stderr where files are not here."""
    if recipe.epochs is None:
        return recipe
    data = recipe.data
    samples = sum(source.repeat * _samples(name, source) for name, source in data.sources.items())
    tokens = samples * (1 - data.holdout) * min(data.expect.tokens, data.longest)
    return _with_steps(recipe, recipe.epochs * tokens / (data.packs * data.rows * data.longest * data.expect.fill))


def _with_steps(recipe: Recipe, steps: float) -> Recipe:
    return recipe.model_copy(update={"steps": max(math.ceil(steps), 1), "epochs": None})


def _samples(name: str, source: SourceRecipe) -> int:
    try:
        return len(open_source(name, source))
    except RecipeError as error:
        print(f"note: {error}; counted as {ASSUMED:,} samples", file=sys.stderr)
        return ASSUMED

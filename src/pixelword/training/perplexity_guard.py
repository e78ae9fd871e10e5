"""Perplexity guard (`gate`): stops a run whose text perplexity gets worse than the recipe allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pixelword.errors import PixelwordError, RecipeError
from pixelword.evaluation.perplexity import encode_texts, perplexity, read_texts
from pixelword.synthetic.assets import Assets
from pixelword.training.building import precision
from pixelword.training.distill import is_packaged, load_frozen
from pixelword.training.precision import compute_dtype
from pixelword.training.validation import uncompiled

if TYPE_CHECKING:
    from pathlib import Path

    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.training.parallel import World
    from pixelword.training.recipe import Recipe


@dataclass(frozen=True)
class Reading:
    """perplexity: of the model in training; against: of the reference model; bound: limit of `excess`."""

    perplexity: float
    against: float
    bound: float

    @property
    def excess(self) -> float:
        """Relative increase: 0.05 is 5 %."""
        return self.perplexity / self.against - 1

    @property
    def passes(self) -> bool:
        """False also for a NaN perplexity."""
        return self.excess <= self.bound

    def values(self) -> dict[str, Any]:
        """Return the values for metrics.jsonl."""
        return {
            "perplexity": round(self.perplexity, 4), "against": round(self.against, 4), "excess": round(self.excess, 5)
        }  # fmt: skip

    def line(self) -> str:
        """Return a line for the log."""
        return (
            f"perplexity on text {self.perplexity:.2f}, {self.excess:+.1%} against {self.against:.2f} "
            f"(bound {self.bound:.0%})"
        )


class Gate:
    """Compares a text's perplexity under the model in training with that under the initial model.

    Raises RecipeError if the text or the reference model is missing, before weights are loaded.
    """

    def __init__(self, recipe: Recipe, processor: NeoOVProcessor, world: World) -> None:
        assert recipe.gate is not None
        self.recipe, self.world = recipe, world
        try:
            texts = read_texts(recipe.gate.text, Assets(recipe.data.assets))
        except PixelwordError as error:
            raise RecipeError(f"gate.text: {error}") from error
        self._documents = encode_texts(processor, texts, recipe.gate.tokens)
        self._against_folder = _against(recipe)

    @cached_property
    def against(self) -> float:
        """Perplexity of the reference model, computed once per run on every rank."""
        dtype = compute_dtype(self.recipe, self.world.device)
        return perplexity(load_frozen(self._against_folder, dtype, "sdpa", self.world.device), self._documents)

    def read(self, model: NeoOVForConditionalGeneration) -> Reading:
        """Measure; every rank calls this at the same step and gets the same result."""
        assert self.recipe.gate is not None
        with uncompiled(model), precision(self.recipe, self.world):
            own = perplexity(model, self._documents)
        found, against = (value / self.world.size for value in self.world.sum(own, self.against))
        return Reading(found, against, self.recipe.gate.bound)


def _against(recipe: Recipe) -> Path:
    assert recipe.gate is not None
    folder = recipe.gate.against or (recipe.distill.from_ if recipe.distill else recipe.model.from_)
    if folder is None:
        raise RecipeError("gate.against: name a checkpoint to compare with; a start from random weights has none")
    if not is_packaged(folder) and not (folder / "config.json").is_file():
        raise RecipeError(f"gate.against: {folder} holds no checkpoint, and no packaged language model has this name")
    return folder

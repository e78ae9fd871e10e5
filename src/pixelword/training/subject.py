"""The data that `pixelword data` inspects, with its processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pixelword.processing.processor import NeoOVProcessor
from pixelword.training.building import build_processor

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe
    from pixelword.training.named_data import NamedData
    from pixelword.training.recipe import Recipe


@dataclass(frozen=True)
class Subject:
    """Data of a recipe, or (recipe None) of files, and the processor to read it."""

    data: DataRecipe
    processor: NeoOVProcessor
    recipe: Recipe | None


def open_subject(named: NamedData) -> Subject:
    """Open the data with its processor. Raises RecipeError, CheckpointError."""
    if named.folder is not None:
        return Subject(named.data, NeoOVProcessor.from_pretrained(named.folder), named.recipe)
    assert named.recipe is not None
    return Subject(named.data, build_processor(named.recipe), named.recipe)

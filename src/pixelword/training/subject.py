"""What `pixelword data` looks at, with the processor that reads it."""

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
    """What is looked at: the data of a recipe, or (recipe None) of files by themselves, and how it is read."""

    data: DataRecipe
    processor: NeoOVProcessor
    recipe: Recipe | None


def open_subject(named: NamedData) -> Subject:
    """The data with its processor. Raises RecipeError, CheckpointError."""
    if named.folder is not None:
        return Subject(named.data, NeoOVProcessor.from_pretrained(named.folder), named.recipe)
    assert named.recipe is not None
    return Subject(named.data, build_processor(named.recipe), named.recipe)

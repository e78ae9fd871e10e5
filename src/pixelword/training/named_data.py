"""Data of a `pixelword data` command, from a recipe or files, checked before heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixelword.checkpoints.names import resolve
from pixelword.data.recipe import DataRecipe, SourceRecipe
from pixelword.errors import RecipeError
from pixelword.training.recipe_file import load_recipe
from pixelword.training.start import check_files, check_start, fetched

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe

RECIPES = (".yaml", ".yml")


@dataclass(frozen=True)
class NamedData:
    """Data of a recipe, or (recipe None) of files.

    folder: whose processor reads it; None: the recipe's own.
    """

    data: DataRecipe
    recipe: Recipe | None
    folder: Path | None


def named_data(
    what: str, overrides: Sequence[str] = (), *, model: str | None = None, root: Path | None = None
) -> NamedData:
    """Read a recipe's YAML file, or name sample files.

    model: whose tokenizer and settings to read with, in place of the recipe's `model.from` (nano's, for files).
    root: what relative paths of media in the files join. Raises RecipeError, CheckpointError.
    """
    recipe = load_recipe(Path(what), overrides) if what.endswith(RECIPES) else None
    if recipe is None and overrides:
        raise RecipeError(f"--set changes a recipe, and {what} is not one; leave it out, or name a YAML file")
    data = recipe.data if recipe is not None else _files(what, root)
    if recipe is None:  # of a recipe's sources some may be there
        check_files(data)
    if model is None and recipe is not None:
        recipe = fetched(recipe, weights=False)
        check_start(recipe)
        return NamedData(data, recipe, None)
    return NamedData(data, recipe, resolve(model or "nano", weights=False))


def _files(what: str, root: Path | None) -> DataRecipe:
    name = Path(what).name.partition(".")[0] or "data"
    return DataRecipe(sources={name: SourceRecipe(path=what, root=root)}, length=1)

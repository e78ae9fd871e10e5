"""What a stage starts from, checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixelword.data.sources.source import source_files
from pixelword.errors import CheckpointError, RecipeError
from pixelword.model.names import WEIGHTS, other_names, packaged

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe
    from pixelword.training.recipe import Recipe


def check_start(recipe: Recipe) -> None:
    """Raises CheckpointError, RecipeError: the stage before or the tokenizer is not there."""
    if recipe.model.from_ is not None:
        existing(recipe.model.from_)
    else:
        tokenizer_folder(recipe)


def check_files(data: DataRecipe) -> None:
    """Raises RecipeError: a source names a file that is not there."""
    for name, source in data.sources.items():
        for _ in source_files(name, source.path):
            pass


def existing(folder: Path) -> Path:
    """The folder of `model.from`. Raises CheckpointError: it holds no checkpoint."""
    if (folder / "config.json").is_file():
        return folder
    if folder.exists() or len(folder.parts) > 1:
        raise CheckpointError(f"model.from: {folder} holds no checkpoint; run the stage before this one first")
    raise CheckpointError(f"model.from: there is no model {str(folder)!r}{other_names(str(folder))}")


def tokenizer_folder(recipe: Recipe) -> Path:
    """The folder of a recipe's `tokenizer`. Raises RecipeError: there is none."""
    name = str(recipe.tokenizer)
    folder = Path(name) if Path(name).is_dir() else WEIGHTS / name
    if not (folder / "tokenizer.json").is_file():
        raise RecipeError(
            f"tokenizer: {name!r} is neither a folder with a tokenizer.json nor a packaged model; "
            f"packaged models are: {', '.join(packaged())}"
        )
    return folder

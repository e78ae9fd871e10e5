"""Checks the inputs of a stage, before heavy imports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelword.checkpoints import hub
from pixelword.checkpoints.names import WEIGHTS, check_not_quantized, hub_id, other_names, packaged, resolve
from pixelword.data.sources.source import source_files
from pixelword.errors import CheckpointError, RecipeError

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe
    from pixelword.training.recipe import Recipe


def fetched(recipe: Recipe, *, weights: bool = True) -> Recipe:
    """The recipe with models of the Hub in its fields as folders of the user's cache, downloaded where they are not
    there; it writes them as `org/name@commit`, so that what is recorded of a run names the weights for good.

    weights: without, configurations and tokenizers alone. Raises CheckpointError.
    """
    changed: dict[str, Any] = {}
    if (place := _hub_folder(recipe.model.from_, weights)) is not None:
        changed["model"] = recipe.model.model_copy(update={"from_": place})
    if recipe.tokenizer is not None and not Path(recipe.tokenizer).exists() and (wanted := hub_id(recipe.tokenizer)):
        changed["tokenizer"] = str(hub.snapshot(wanted, weights=False))  # of a model of any family
    if recipe.distill and (place := _hub_folder(recipe.distill.from_, weights)) is not None:
        changed["distill"] = recipe.distill.model_copy(update={"from_": place})
    if recipe.gate and (place := _hub_folder(recipe.gate.against, weights)) is not None:
        changed["gate"] = recipe.gate.model_copy(update={"against": place})
    return recipe.model_copy(update=changed) if changed else recipe


def _hub_folder(place: Path | None, weights: bool) -> Path | None:
    """Return the cache folder of a Hub model; None for local names."""
    name = str(place)
    if place is None or place.exists() or hub_id(name) is None:
        return None
    return resolve(name, weights=weights)


def check_start(recipe: Recipe) -> None:
    """Raise CheckpointError, RecipeError if the previous stage or the tokenizer is missing."""
    if recipe.model.from_ is not None:
        existing(recipe.model.from_)
    else:
        tokenizer_folder(recipe)


def check_files(data: DataRecipe) -> None:
    """Raise RecipeError if a source names a missing file."""
    for name, source in data.sources.items():
        for _ in source_files(name, source.path):
            pass


def existing(folder: Path) -> Path:
    """Return the folder of `model.from`. Raises CheckpointError if it has no checkpoint, or quantized weights."""
    if (folder / "config.json").is_file():
        check_not_quantized(folder)
        return folder
    if folder.exists() or len(folder.parts) > 1:
        raise CheckpointError(f"model.from: {folder} holds no checkpoint; run the stage before this one first")
    raise CheckpointError(f"model.from: unknown model {str(folder)!r}{other_names(str(folder))}")


def tokenizer_folder(recipe: Recipe) -> Path:
    """Return the folder of a recipe's `tokenizer`. Raises RecipeError if it is missing."""
    name = str(recipe.tokenizer)
    folder = Path(name) if Path(name).is_dir() else WEIGHTS / name
    if not (folder / "tokenizer.json").is_file():
        raise RecipeError(
            f"tokenizer: {name!r} is neither a folder with a tokenizer.json nor a packaged model; "
            f"packaged models are: {', '.join(packaged())}"
        )
    return folder

"""Compute precision of a stage: the recipe's, or with `precision: auto` what suits the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pixelword import machine

if TYPE_CHECKING:
    from pixelword.training.parallel import World
    from pixelword.training.recipe import Recipe

_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def compute_dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    """Return the compute dtype on a device; "auto" is bfloat16 if the hardware supports it, else float32."""
    return _TYPES.get(recipe.precision) or machine.training_dtype(device)


def settled(recipe: Recipe, world: World, saved: str | None = None) -> Recipe:
    """Resolve the recipe's precision, equally on all ranks: "auto" becomes rank 0's choice.

    saved: The checkpoint's precision, which "auto" keeps, so that a resumed run is bitwise identical.
    """
    if recipe.precision != "auto":
        return recipe
    name = saved or world.on_first(lambda: precision_name(compute_dtype(recipe, world.device)))
    return recipe.model_copy(update={"precision": name})


def precision_name(dtype: torch.dtype) -> str:
    """Return a recipe's name for a dtype."""
    return next(name for name, item in _TYPES.items() if item == dtype)

"""What a stage's products are computed in: as its recipe says, or with `precision: auto` what suits the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pixelword import machine

if TYPE_CHECKING:
    from pixelword.training.parallel import World
    from pixelword.training.recipe import Recipe

_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def compute_dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The type of products on a device; "auto" is bfloat16 where the device has instructions for it, else float32."""
    return _TYPES.get(recipe.precision) or machine.training_dtype(device)


def settled(recipe: Recipe, world: World, saved: str | None = None) -> Recipe:
    """The recipe with its precision decided, alike on all ranks: "auto" becomes what the first one finds.

    saved: what a checkpoint was trained in, which "auto" keeps to, so that a resumed run repeats every bit.
    """
    if recipe.precision != "auto":
        return recipe
    chosen = saved or world.on_first(lambda: precision_name(compute_dtype(recipe, world.device)))
    return recipe.model_copy(update={"precision": chosen})


def precision_name(dtype: torch.dtype) -> str:
    """The name that recipes have for a type."""
    return next(name for name, item in _TYPES.items() if item == dtype)

"""Compute precision of a stage: the recipe's, or with `precision: auto` what suits the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pixelword import machine

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe

_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def compute_dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    """Return the compute dtype on a device; "auto" is bfloat16 if the hardware supports it, else float32."""
    return _TYPES.get(recipe.precision) or machine.training_dtype(device)


def precision_name(dtype: torch.dtype) -> str:
    """Return a recipe's name for a dtype."""
    return next(name for name, item in _TYPES.items() if item == dtype)

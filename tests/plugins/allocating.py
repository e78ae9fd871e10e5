"""A command that allocates more than any machine has."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
import typer


def allocate(
    kind: Annotated[Literal["tensor", "array", "shape"], typer.Argument()],
    max_pixels: int = 1024,
    dtype: str = "float32",
    quantize: str | None = None,
) -> None:
    if kind == "array":
        np.empty(2**60, dtype=np.uint8)
    if kind == "shape":
        torch.zeros(2) + torch.zeros(3)
    torch.empty(2**60, dtype=torch.uint8)

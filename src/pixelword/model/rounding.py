"""Matrices as whole numbers with one scale a row: int8, or fewer bits side by side, for files that must be small.

Symmetric: row = scale * numbers, and zero stays zero. A scale is bfloat16, which halves what scales take and costs
nothing, because rows are divided by the scale after it was rounded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

#: Bits a number may have.
BITS = range(4, 9)


def rounded(matrix: Tensor, bits: int = 8) -> dict[str, Tensor]:
    """The pieces of a float matrix (rows, ...), whose first axis has the scales.

    Returns:
        scale: (rows,) bfloat16; and with 8 bits int8: the matrix's shape, else packed: (rows, bytes) uint8, in which
        the numbers of a row follow each other bit by bit, each raised by 2**(bits - 1) to be no less than zero.
    """
    most = 2 ** (bits - 1) - 1
    rows = matrix.flatten(1).float()
    scale = (rows.abs().amax(1).clamp(min=1e-30) / most).bfloat16()
    numbers = (rows / scale.float()[:, None]).round().clamp(-most, most).to(torch.int8)
    if bits == 8:
        return {"int8": numbers.view(matrix.shape), "scale": scale}
    raised = (numbers.numpy() + np.int16(most + 1)).astype(np.uint8)
    every = np.unpackbits(raised[..., None], axis=-1)[..., 8 - bits :]
    return {"packed": torch.from_numpy(np.packbits(every.reshape(len(rows), -1), axis=1)), "scale": scale}


def restored(pieces: dict[str, Tensor], shape: torch.Size, bits: int = 8) -> Tensor:
    """The float32 matrix of this shape. Raises KeyError or ValueError where the pieces are not one's of this shape."""
    scale = pieces["scale"].float()
    numbers = pieces["int8"] if bits == 8 else _unpacked(pieces["packed"], shape[1:].numel(), bits)
    if len(scale) != shape[0] or numbers.numel() != shape.numel():
        raise ValueError(f"{numbers.numel()} numbers with {len(scale)} scales are not {'x'.join(map(str, shape))}")
    return (numbers.reshape(shape[0], -1).float() * scale[:, None]).view(shape)


def _unpacked(packed: Tensor, columns: int, bits: int) -> Tensor:
    """(rows, columns) int16."""
    every = np.unpackbits(packed.numpy(), axis=1)[:, : columns * bits]
    if every.shape[1] != columns * bits:
        raise ValueError(f"rows of {packed.shape[1]} bytes hold no {columns} numbers of {bits} bits")
    wide = np.zeros((*packed.shape[:1], columns, 8), dtype=np.uint8)
    wide[..., 8 - bits :] = every.reshape(len(packed), columns, bits)
    numbers = np.packbits(wide, axis=-1)[..., 0].astype(np.int16) - 2 ** (bits - 1)
    return torch.from_numpy(numbers)

"""Matrices rounded to 8 or 4 bits: numbers, scales and zero points, apart from how a kernel wants them laid out.

Work goes through a few rows at a time, which stay in a core's cache, so that a matrix of any size takes little memory
beside its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .names import Quantization

#: Inputs that share a scale and a zero point in 4 bits: the largest that divides a row.
GROUPS = (128, 64, 32)
#: Kernels for 4 bits want outputs in multiples of this.
LANES = 16
#: Numbers of a matrix that are rounded at once.
_STRIP = 1 << 17


@dataclass(frozen=True)
class Rounded:
    """A matrix (out, in) as whole numbers.

    Attributes:
        numbers: (out, in), int8 with 8 bits, uint8 from 0 to 15 with 4.
        scale: bfloat16, (out,) with 8 bits, (out, groups) with 4.
        zero: (out, groups) uint8, the number that stands for 0; None with 8 bits, where 0 does.
    """

    numbers: Tensor
    scale: Tensor
    zero: Tensor | None = None

    @property
    def bits(self) -> int:
        return 8 if self.zero is None else 4

    @property
    def group(self) -> int:
        """Inputs that share a scale."""
        return self.numbers.shape[1] // (1 if self.zero is None else self.scale.shape[1])

    def __getitem__(self, rows: slice) -> Rounded:
        """Some of the outputs: views."""
        return Rounded(self.numbers[rows], self.scale[rows], None if self.zero is None else self.zero[rows])

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The matrix that this one stands for, (out, in)."""
        if self.zero is None:
            return (self.numbers * self.scale.float()[:, None]).to(dtype)
        grouped = self.numbers.unflatten(1, (-1, self.group)).float() - self.zero[..., None]
        return (grouped * self.scale.float()[..., None]).flatten(1).to(dtype)


def round_matrix(weight: Tensor, quantization: Quantization) -> Rounded:
    """Round a float matrix (out, in) to 8 bits, or to 4 where its shape allows (see `group_of`)."""
    group = group_of(weight.shape) if quantization == "int4" else None
    rows, columns = weight.shape
    numbers = torch.empty(rows, columns, dtype=torch.int8 if group is None else torch.uint8)
    scale = torch.empty(rows if group is None else (rows, columns // group), dtype=torch.bfloat16)
    zero = None if group is None else torch.empty(scale.shape, dtype=torch.uint8)
    whole, step = Rounded(numbers, scale, zero), max(_STRIP // columns, 1)
    for start in range(0, rows, step):
        piece = slice(start, start + step)
        if group is None:
            _eight(weight[piece].detach(), whole[piece])
        else:
            _four(weight[piece].detach(), group, whole[piece])
    return whole


def group_of(shape: Sequence[int]) -> int | None:
    """Inputs that share a scale in 4 bits; None where a matrix of this shape takes 8 bits."""
    if shape[0] % LANES:
        return None
    return next((group for group in GROUPS if shape[1] % group == 0), None)


def joined(parts: Sequence[Rounded]) -> Rounded:
    """Matrices of equal bits and width as one, the outputs of each after those before."""
    if len(parts) == 1:
        return parts[0]
    zeros = [part.zero for part in parts if part.zero is not None]
    return Rounded(
        torch.cat([part.numbers for part in parts]),
        torch.cat([part.scale for part in parts]),
        torch.cat(zeros) if zeros else None,
    )


def _eight(rows: Tensor, out: Rounded) -> None:
    """Symmetric, a scale for each row; rows are divided by the scale after it was rounded to bfloat16."""
    wide = rows.float()
    out.scale.copy_(wide.abs().amax(1).clamp_(min=1e-30).div_(127))
    out.numbers.copy_(wide.mul(out.scale.float().reciprocal_()[:, None]).round_().clamp_(-127, 127))


def _four(rows: Tensor, group: int, out: Rounded) -> None:
    """Sixteen steps from a group's least number to its greatest, with zero among them."""
    assert out.zero is not None
    wide = rows.float().unflatten(1, (-1, group))
    low, high = wide.amin(-1).clamp_(max=0), wide.amax(-1).clamp_(min=0)
    out.scale.copy_((high - low).mul_(1 / 15).clamp_(min=1e-8))
    inverse = out.scale.float().reciprocal_()
    zero = low.neg_().mul_(inverse).round_().clamp_(max=15)
    out.zero.copy_(zero)
    # half a step more and cut off: rounded
    out.numbers.copy_(torch.addcmul(zero[..., None] + 0.5, wide, inverse[..., None]).clamp_(0, 15.5).flatten(1))

"""Weight-only quantization for CPUs: matrices in 8 or 4 bits, each called as the product by what it stands for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pixelword import machine
from pixelword.checkpoints.delta import rounded
from pixelword.checkpoints.names import Quantization
from pixelword.errors import InputError

#: Up to this many rows the int8 kernel is used where it pays; above, blocks of weights are widened and multiplied.
INT8_ROWS = 8
#: Numbers of an int8 matrix that are widened at once: few enough to stay in a core's cache.
_BLOCK = 1 << 19
#: Inputs that share a scale and a zero point in 4 bits: the largest that divides a row.
GROUPS = (128, 64, 32)
#: Outputs of a matrix that are packed at once: a multiple of the kernel's blocks, few enough to need little memory.
_STRIP = 4096
#: The kernel wants outputs in multiples of this.
_LANES = 16


class Int8Linear:
    """As `DenseLinear`, by whole numbers with a scale for each output: half the bytes of bf16."""

    def __init__(self, weight: Tensor) -> None:
        pieces = rounded(weight.detach())
        self.numbers, self.scale = pieces["int8"], pieces["scale"].to(weight.dtype)
        self._blocks = self.numbers.split(max(_BLOCK // weight.shape[1], 1))

    @property
    def weight(self) -> Tensor:
        """The matrix that this one multiplies by, in the scale's type."""
        return self.numbers.to(self.scale.dtype) * self.scale[:, None]

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= INT8_ROWS and x.device.type == "cpu" and machine.int8_kernel_pays(x.dtype):
            out = torch._weight_int8pack_mm(rows, self.numbers, self.scale)
        else:
            out = torch.cat([F.linear(rows, block.to(x.dtype)) for block in self._blocks], -1) * self.scale
        return out.view(*x.shape[:-1], -1)


class Int4Linear:
    """As `DenseLinear`, by 4-bit numbers with a scale and a zero point for each group of inputs, as torch packs them.

    Weights are rounded to the nearest of 16 steps between a group's least and greatest. The kernel multiplies in
    bfloat16 and sums in float32.
    """

    def __init__(self, weight: Tensor) -> None:
        self.group = _group(weight)
        assert self.group is not None, "see `quantized`"
        packed, scales = zip(*(_packed(strip, self.group) for strip in weight.detach().split(_STRIP)), strict=True)
        self.numbers, self.scales = torch.cat(packed), torch.cat(scales, 1)
        self._columns = weight.shape[1]

    @property
    def weight(self) -> Tensor:
        """The matrix that this one multiplies by, (out, in) bfloat16."""
        return self(torch.eye(self._columns, dtype=torch.bfloat16)).T.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self._columns).to(torch.bfloat16)
        out = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.numbers, self.group, self.scales)
        return out.to(x.dtype).view(*x.shape[:-1], -1)


def quantized(weight: Tensor, quantization: Quantization) -> Int8Linear | Int4Linear:
    """A matrix in 8 or 4 bits; one whose shape 4 bits cannot have (see `GROUPS`) takes 8."""
    if quantization == "int8" or _group(weight) is None:
        return Int8Linear(weight)
    return Int4Linear(weight)


def _group(weight: Tensor) -> int | None:
    if weight.shape[0] % _LANES:
        return None
    return next((group for group in GROUPS if weight.shape[1] % group == 0), None)


def _packed(strip: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Some rows of a matrix: numbers as the kernel reads them, and (groups, rows, 2) scale and zero point, bfloat16."""
    groups = strip.float().unflatten(1, (-1, group))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = ((high - low) / 15).clamp(min=1e-8).bfloat16()
    zero = (low + 8 * scale.float()).bfloat16()  # the kernel takes (number - 8) * scale + zero
    numbers = ((groups - zero.float()) / scale.float() + 8).round().clamp(0, 15).to(torch.int32).flatten(1)
    try:
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 1)
    except (RuntimeError, AttributeError) as error:
        raise InputError("int4: this build of PyTorch cannot pack 4-bit weights for a CPU; take int8") from error
    return packed, torch.cat((scale, zero), -1).transpose(0, 1).contiguous()

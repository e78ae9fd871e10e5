"""Weight-only quantization for CPUs: matrices in 8 or 4 bits, each called as the product by what it stands for."""

from __future__ import annotations

import threading

import torch
from torch import Tensor
from torch.nn import functional as F

from pixelword import machine
from pixelword.checkpoints.rounding import Rounded
from pixelword.errors import InputError

#: Up to this many rows the int8 kernel is used where it pays; above, blocks of weights are widened and multiplied.
INT8_ROWS = 8
#: Numbers of a matrix that are widened at once: few enough to stay in a core's cache.
_BLOCK = 1 << 19
#: Outputs of a matrix that are packed at once, which is faster in parts: with 8 and with 4 bits, where it is a multiple
#: of the kernel's blocks.
_PACKED_8, _PACKED_4 = 2048, 256
#: PyTorch's choice of a library for quantized products is a global.
_ENGINE = threading.Lock()


class Int8Linear:
    """As `DenseLinear`, by whole numbers with a scale for each output: half the bytes of bf16.

    x is not rounded, but where `machine.int8_split_pays`: there it is rounded to 13 bits, less than bfloat16 rounds.
    """

    def __init__(self, rounded: Rounded, dtype: torch.dtype) -> None:
        self.scale = rounded.scale.to(dtype)
        self._numbers: Tensor | None = None
        self._packed: list[torch.ScriptObject] = []
        if machine.int8_split_pays(dtype):
            self._packed = [_packed(block) for block in rounded.numbers.split(_PACKED_8)]
        else:
            self._numbers = rounded.numbers
            self._blocks = self._numbers.split(max(_BLOCK // self._numbers.shape[1], 1))

    @property
    def numbers(self) -> Tensor:
        """(out, in) int8."""
        if self._numbers is not None:
            return self._numbers
        return torch.cat([torch.ops.quantized.linear_unpack(block)[0].int_repr() for block in self._packed])

    @property
    def weight(self) -> Tensor:
        """The matrix that this one multiplies by, in the scale's type."""
        return self.numbers.to(self.scale.dtype) * self.scale[:, None]

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if self._packed:
            out = split_product(rows, self._packed) * self.scale
        elif len(rows) <= INT8_ROWS and x.device.type == "cpu" and machine.int8_kernel_pays(x.dtype):
            out = torch._weight_int8pack_mm(rows, self.numbers, self.scale)
        else:
            out = widened_product(rows, self._blocks) * self.scale
        return out.view(*x.shape[:-1], -1)


class Int4Linear:
    """As `DenseLinear`, by 4-bit numbers with a scale and a zero point for each group of inputs, as torch packs them.

    The kernel multiplies in bfloat16 and sums in float32.
    """

    def __init__(self, rounded: Rounded) -> None:
        assert rounded.zero is not None
        self.group, self._columns = rounded.group, rounded.numbers.shape[1]
        try:
            packed = [
                torch.ops.aten._convert_weight_to_int4pack_for_cpu(strip.to(torch.int32), 1)
                for strip in rounded.numbers.split(_PACKED_4)
            ]
        except (RuntimeError, AttributeError) as error:
            raise InputError("int4: this build of PyTorch cannot pack 4-bit weights for a CPU; take int8") from error
        # the kernel takes (number - 8) * scale + offset
        offset = ((8 - rounded.zero.float()) * rounded.scale.float()).bfloat16()
        self.numbers = torch.cat(packed)
        self.scales = torch.stack((rounded.scale, offset), -1).transpose(0, 1).contiguous()

    @property
    def weight(self) -> Tensor:
        """The matrix that this one multiplies by, (out, in) bfloat16."""
        return self(torch.eye(self._columns, dtype=torch.bfloat16)).T.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self._columns).to(torch.bfloat16)
        out = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.numbers, self.group, self.scales)
        return out.to(x.dtype).view(*x.shape[:-1], -1)


def quantized(rounded: Rounded, dtype: torch.dtype) -> Int8Linear | Int4Linear:
    """The product by a rounded matrix. dtype: of what it is multiplied with."""
    return Int8Linear(rounded, dtype) if rounded.zero is None else Int4Linear(rounded)


def widened_product(rows: Tensor, blocks: tuple[Tensor, ...]) -> Tensor:
    """rows (M, in) by the blocks (n, in) of a matrix in a smaller type, each widened for its product: (M, out)."""
    wide = torch.empty(blocks[0].shape, dtype=rows.dtype)
    return torch.cat([F.linear(rows, wide[: len(block)].copy_(block)) for block in blocks], -1)


def split_product(rows: Tensor, packed: list[torch.ScriptObject]) -> Tensor:
    """rows (M, in) by packed int8 matrices, (M, out) in the rows' type, by FBGEMM's product of whole numbers.

    Each row is the sum of two rows of numbers from -63 to 63, the second for what the first leaves, since FBGEMM's
    sums of two products must fit into 16 bits on CPUs without VNNI. So an outlier costs no more than in bfloat16.
    """
    step = rows.abs().amax(-1, keepdim=True).float().clamp_(min=1e-30).div_(machine.SPLIT)
    whole = rows.float() / step
    first = whole.round()
    second = whole.sub_(first).mul_(2 * machine.SPLIT).round_()
    halves = torch.cat((first, second))
    sums = torch.cat([machine.int8_split_product(halves, block) for block in packed], -1)
    upper, lower = sums.chunk(2)
    return torch.add(upper, lower, alpha=0.5 / machine.SPLIT).mul_(step).to(rows.dtype)


def _packed(numbers: Tensor) -> torch.ScriptObject:
    with _ENGINE:
        return machine.int8_split_pack(numbers)

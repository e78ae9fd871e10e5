"""Weights held in bfloat16, arithmetic in float32: for CPUs that only emulate bfloat16 and lack memory for float32.

Norms, activations and the KV cache are float32. A product of many rows widens its matrix a block at a time, so that a
prompt is read at float32's speed; a layer's product of few rounds the rows instead and reads half of float32's bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelword.generation.quantized import widened_product

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration

#: Up to this many rows are rounded to the weight's type; from four on, widening the weight is as fast.
FEW = 3
#: Numbers of a matrix that are widened at once.
_BLOCK = 1 << 19


class MixedLinear:
    """x (..., in) float32 -> (..., out) float32, by a weight in a smaller type.

    few: up to this many rows are rounded to that type, and so is their product.
    """

    def __init__(self, weight: Tensor, few: int = FEW) -> None:
        self.weight, self._few = weight, few
        self._blocks = weight.detach().split(max(_BLOCK // weight.shape[1], 1))

    def __call__(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return F.linear(x, self.weight.to(x.dtype))
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= self._few:
            out = F.linear(rows.to(self.weight.dtype), self.weight).to(x.dtype)
        else:
            out = widened_product(rows, self._blocks)
        return out.view(*x.shape[:-1], -1)


def hold_small(model: NeoOVForConditionalGeneration) -> None:
    """Let a model with float32 norms compute in float32 by matrices and a table of words that are in a smaller type."""
    for module in model.modules():
        if type(module) is nn.Linear:
            is_head = module is model.get_output_embeddings()  # nothing comes after it that evens roundings out
            module.__dict__["forward"] = MixedLinear(module.weight, 0 if is_head else FEW)
    table = model.get_input_embeddings()
    table.__dict__["forward"] = lambda ids: F.embedding(ids, table.weight).to(model.dtype)  # type: ignore[arg-type]

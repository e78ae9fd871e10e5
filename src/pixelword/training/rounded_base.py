"""Frozen projections in 8 bits under adapters, as in QLoRA (Dettmers et al. 2023, arXiv 2305.14314), there in 4 bits.

Each output has a scale, as with `--quantize int8`. Gradients go through the product to its input; the numbers have
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelword.checkpoints.rounding import Rounded, round_matrix


class RoundedLinear(nn.Linear):
    """As the linear layer that it is made of, by whole numbers: `weight` (out, in) int8, `scale` (out,) bfloat16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        rounded = round_matrix(linear.weight, "int8")
        self.weight = nn.Parameter(rounded.numbers, requires_grad=False)
        self.scale = nn.Parameter(rounded.scale, requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        x = x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x
        out = _Product.apply(x, self.weight, self.scale)
        return out if self.bias is None else out + self.bias.to(out.dtype)


class _Product(torch.autograd.Function):
    """x (..., in) by numbers (out, in) with a scale for each output. A widened matrix lives for its product alone;
    int8 and its bfloat16 scales are exact in x's type, so that nothing more is rounded than the products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, numbers: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(numbers, scale)
        return F.linear(x, numbers.to(x.dtype)) * scale.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        numbers, scale = ctx.saved_tensors
        return (gradient * scale.to(gradient.dtype)) @ numbers.to(gradient.dtype), None, None


def round_frozen(layers: Iterable[nn.Module]) -> None:
    """Replace the layers' frozen projections by rounded ones, on the CPU."""
    for layer in layers:
        for parent in list(layer.modules()):
            for name, module in list(parent.named_children()):
                if type(module) is nn.Linear and not module.weight.requires_grad:
                    setattr(parent, name, RoundedLinear(module))


def dense(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's tensors by name, with rounded matrices as the float32 ones that they stand for."""
    plain = dict(tensors)
    for name in tensors:
        stem = name.removesuffix(".scale")
        weight = tensors.get(f"{stem}.weight")
        if name != stem and weight is not None and weight.dtype == torch.int8:
            plain[f"{stem}.weight"] = Rounded(weight, plain.pop(name)).dense()
    return plain

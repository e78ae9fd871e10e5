"""Muon, batched over matrices of the same shape: torch's numbers, in half the time for small matrices.

Jordan et al. 2024; the update scaled to AdamW's RMS as in Liu et al. 2025 (arXiv 2502.16982).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from pixelword import machine

#: Elements of one stack at most: larger ones leave the cache and gain nothing (measured from 2^17 to 2^24).
STACKED = 1 << 20


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`: the same state and, up to rounding, the same steps.

    torch takes one matrix at a time, six small operations for each of its five iterations.
    """

    def __init__(self, params: Iterable[Any], **settings: Any) -> None:
        super().__init__(params, **settings, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            updated = [p for p in group["params"] if p.grad is not None]
            for alike in _alike(updated):
                self._step_alike(alike, group)
        return loss

    def _step_alike(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Update matrices that are all (m, n) or (n, m)."""
        for p in parameters:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum_buffer"] for p in parameters]
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        directions = torch._foreach_lerp(gradients, momenta, group["momentum"]) if group["nesterov"] else momenta
        stack = torch.stack([_wide(d) for d in directions])
        turned = orthogonalised(stack, group["ns_coefficients"], group["ns_steps"], group["eps"])
        updates = [
            u.t() if p.shape[0] > p.shape[1] else u
            for u, p in zip(turned.to(parameters[0].dtype), parameters, strict=True)
        ]
        rate = group["lr"] * 0.2 * math.sqrt(max(parameters[0].shape))
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-rate)


def orthogonalised(stack: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """(count, m, n) with m <= n -> the same shape, every matrix's singular values brought near 1.

    The quintic Newton-Schulz iteration, in bfloat16 as in torch; in float32 where a CPU only emulates bfloat16, whose
    small products take twenty times as long there.
    """
    a, b, c = coefficients
    x = stack.to(machine.training_dtype(stack.device), copy=True)
    x.div_(torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=eps))
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _wide(matrix: Tensor) -> Tensor:
    return matrix.t() if matrix.shape[0] > matrix.shape[1] else matrix


def _alike(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Group matrices of the same two sides, in lists of at most `STACKED` elements (or one matrix)."""
    by_sides: dict[tuple[Any, ...], list[Tensor]] = {}
    for p in parameters:
        by_sides.setdefault((*sorted(p.shape), p.device, p.dtype), []).append(p)
    for same in by_sides.values():
        count = max(1, STACKED // same[0].numel())
        for start in range(0, len(same), count):
            yield same[start : start + count]

"""Exponential moving average of trained parameters, validated and exported instead of the last weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class Average:
    """avg <- decay * avg + (1 - decay) * parameter after every step, in float32, shard by shard.

    decay: for step t (from 0) at most (1 + t) / (10 + t), so that the first weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.tensors: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._trained.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update with the parameters after step `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = [(_local(self.tensors[name]), _local(p)) for name, p in self._trained.items()]
        torch._foreach_lerp_([average for average, _ in pairs], [p for _, p in pairs], 1.0 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the average into the parameters while the block runs."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._trained.items():
            average, own = _local(self.tensors[name]), _local(parameter)
            kept = own.clone()
            own.copy_(average)
            average.copy_(kept)


def _local(tensor: Tensor) -> Tensor:
    """Return this rank's local tensor, not a copy."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor.detach()

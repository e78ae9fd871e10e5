"""The ranks of a run: who they are, by torchrun's environment, and the few numbers that they agree on every step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed as dist

from pixelword.errors import RecipeError

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe


_CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """One process among `size` of them; alone when no launcher says otherwise.

    device: where this rank computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    def sum(self, *values: float) -> list[float]:
        """Each value summed over all ranks, the same numbers everywhere. In float64 on the CPU: no GPU waits for it."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def stack(self, values: torch.Tensor) -> torch.Tensor:
        """(n,) on the CPU of every rank -> (ranks, n), the same on all."""
        if self.size == 1:
            return values[None]
        rows = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(rows, values)
        return torch.stack(rows)

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


@contextmanager
def world(recipe: Recipe) -> Iterator[World]:
    """This process's place, and its membership in the process group while the block runs.

    Raises RecipeError when the ranks cannot share the recipe's packs or there is no such device.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if recipe.data.packs % size:
        raise RecipeError(f"data.packs: {recipe.data.packs} packs a step cannot be shared evenly by {size} ranks")
    device = _device(recipe.device)
    if size == 1:
        yield World(device=device)
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(rank, size, device)
    finally:
        dist.destroy_process_group()


def _device(name: str) -> torch.device:
    """The recipe's device; on a machine with several GPUs, the one of this process."""
    if name == "cuda" and not torch.cuda.is_available():
        raise RecipeError("device: cuda, but PyTorch finds no GPU here; set device=cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return _CPU
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device

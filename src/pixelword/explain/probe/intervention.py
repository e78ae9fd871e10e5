"""One mechanism for all interventions: in some layers, some queries may not read some keys.

An intervention is part of the attention's visibility. No module is hooked, changed or patched, and nothing of a
question is kept on a module, so a server's other requests may run on the same model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelword.model.masks import Block, Interval


@dataclass(frozen=True)
class Intervention:
    """In `layers`, query i does not read key j where `hidden[i, j]`.

    hidden: (L, L) bool. A query always reads itself, so that no softmax is over nothing.
    """

    layers: frozenset[int]
    hidden: Tensor


@dataclass(frozen=True)
class RestrictedInterval(Interval):
    """An interval with holes, for the kernel "eager"; `hidden` (L, L) bool is what is not visible within lo and hi."""

    hidden: Tensor | None = None

    def mask(self, block: Block, device: torch.device | None = None) -> Tensor:
        seen = super().mask(block, device)
        if self.hidden is None:
            return seen
        return seen & ~self.hidden[block.q0 : block.q1, block.k0 : block.k1].to(seen.device)


def cut(layers: Collection[int], queries: Tensor, keys: Tensor) -> Intervention:
    """Attention knock-out: in `layers`, `queries` (L,) bool do not read `keys` (L,) bool."""
    return Intervention(frozenset(layers), queries[:, None] & keys[None, :] & ~_self(len(queries), queries.device))


def cut_at_random(like: Intervention, visible: Interval, queries: Tensor, seed: int) -> Intervention:
    """As many pairs hidden as in `like`, drawn from those that `queries` see; the honest comparison."""
    length = len(queries)
    seen = visible.dense(length)[0, 0] & queries[:, None] & ~_self(length, queries.device)
    places = seen.flatten().nonzero()[:, 0]
    number = int((like.hidden & visible.dense(length)[0, 0]).sum())
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))[:number]
    hidden = torch.zeros(length * length, dtype=torch.bool, device=queries.device)
    hidden[places[order.to(places.device)]] = True
    return Intervention(like.layers, hidden.view(length, length))


def between_images(layers: Collection[int], images: Sequence[range], length: int) -> Intervention:
    """In `layers`, no image reads another."""
    hidden = torch.zeros(length, length, dtype=torch.bool)
    for own in images:
        for other in images:
            if own != other:
                hidden[own.start : own.stop, other.start : other.stop] = True
    return Intervention(frozenset(layers), hidden)


def restricted(visible: Interval, interventions: Collection[Intervention], layer: int) -> RestrictedInterval | None:
    """What is visible in a layer under interventions; None where they change nothing there."""
    found = [item.hidden for item in interventions if layer in item.layers]
    if not found:
        return None
    hidden = torch.stack(found).any(0)
    return RestrictedInterval(visible.lo, visible.hi, hidden=hidden) if bool(hidden.any()) else None


def _self(length: int, device: torch.device) -> Tensor:
    return torch.eye(length, dtype=torch.bool, device=device)

"""The flex-attention kernel: its block mask follows from lo and hi by arithmetic; no (query, key) pair is looked at."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from .masks import Interval

#: Side of a block of the sparse mask; flex's own default.
SIDE = 128


def block_mask(visible: Interval, keys: int, side: int = SIDE) -> BlockMask:
    """The exact `BlockMask` of an interval: partial and full key blocks of every query block.

    A key block is needed by a query block when it meets [min lo, max hi], and full when it is within [max lo, min hi]:
    exact for monotone lo and hi, and never too small for others. `create_block_mask` would evaluate every pair.

    Args:
        visible: lo and hi, (B, L).
        keys: number of keys K.
        side: queries, and keys, in a block.
    """
    lo, hi = visible.lo, visible.hi
    batch, length = lo.shape
    rows, columns = -(-length // side), -(-keys // side)
    # Queries past the end repeat the last one, so that they widen no block.
    pad = rows * side - length
    lo_block, hi_block = (
        torch.cat((x, x[:, -1:].expand(batch, pad)), 1).view(batch, 1, rows, side, 1) for x in (lo, hi)
    )
    first = torch.arange(columns, device=lo.device) * side
    last = first + side - 1
    needed = (last >= lo_block.amin(3)) & (first <= hi_block.amax(3))
    # A query block that runs past the end is never full in the last rows: flex masks them by length itself.
    full = (first >= lo_block.amax(3)) & (last <= hi_block.amin(3)) & (last < keys)
    partial = needed & ~full

    lo_table, hi_table = lo, hi

    def mask_mod(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (k >= lo_table[b, q]) & (k <= hi_table[b, q])

    return BlockMask.from_kv_blocks(
        *_ordered(partial), *_ordered(full), BLOCK_SIZE=side, mask_mod=mask_mod, seq_lengths=(length, keys)
    )


def _ordered(dense: Tensor) -> tuple[Tensor, Tensor]:
    """Counts (B, 1, rows) and indices (B, 1, rows, columns), the chosen blocks first, both int32."""
    order = torch.argsort(dense.int(), dim=-1, descending=True, stable=True)
    return dense.sum(-1).int(), order.int()


@functools.cache
def _compiled(device: str) -> Callable[..., Any]:
    # for some dynamic shapes torch 2.13 writes code for CPUs that does not compile (cur_kvSplitSize8 is undeclared)
    return torch.compile(flex_attention, dynamic=False if device == "cpu" else None)


def attend_flex(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float) -> Tensor:
    """Attention by compiled flex: V stays as narrow as it is. On a CPU it has no backward pass."""
    mask = _mask_of(visible, k.shape[2])
    return _compiled(q.device.type)(q, k, v, block_mask=mask, scale=scale, enable_gqa=q.shape[1] != k.shape[1])


def _mask_of(visible: Interval, keys: int) -> BlockMask:
    """The interval's block mask, made once and shared by all layers of a forward."""
    cached = visible.__dict__.get("_flex")
    if cached is None or cached[0] != keys:
        cached = (keys, block_mask(visible, keys))
        object.__setattr__(visible, "_flex", cached)
    return cached[1]

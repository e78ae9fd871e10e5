"""The interval: the one description of what a query sees.

Per query the visible keys are one range [lo, hi]: packed documents, left padding, a cache's offset and chunked prefill
are all these two integer vectors. Nothing else describes visibility anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from .rope import document_start

#: Queries that a masked block holds at most, so that its mask (queries, keys) has a bounded height: memory is linear.
BLOCK = 256
#: Shortest run of equal intervals (an image) that is worth a block, and so a kernel call, of its own.
RUN = 48


@dataclass(frozen=True)
class Block:
    """Queries [q0, q1) of some rows and the keys [k0, k1) that contain all they see.

    kind: "full" (each query sees every key), "causal" (query q0 + i sees keys k0 … k0 + i) or "masked".
    """

    rows: slice
    q0: int
    q1: int
    k0: int
    k1: int
    kind: Literal["full", "causal", "masked"]


@dataclass(frozen=True)
class Interval:
    """Visible keys of every query: lo <= key <= hi.

    lo, hi: (B, L) int64, indices into the keys of the same row (cached ones included); both monotone in a document.
    blocks: how the SDPA kernel walks them; empty where a device or a compiled graph reads lo and hi itself.
    pre_buffer: the interval of the pre-buffer's layers, where their keys are fewer; None where they are the same.
    """

    lo: Tensor
    hi: Tensor
    blocks: tuple[Block, ...] = field(default=())
    pre_buffer: Interval | None = None

    def to(self, *args: object, **kwargs: object) -> Interval:
        """The same interval on another device (accelerate's hooks move the arguments of a layer)."""
        early = None if self.pre_buffer is None else self.pre_buffer.to(*args, **kwargs)
        return Interval(self.lo.to(*args, **kwargs), self.hi.to(*args, **kwargs), self.blocks, early)  # type: ignore[call-overload]

    def mask(self, block: Block, device: torch.device | None = None) -> Tensor:
        """Bool (rows, 1, q1 - q0, k1 - k0), True where the key is visible."""
        key = torch.arange(block.k0, block.k1, device=device or self.lo.device)
        lo = self.lo[block.rows, block.q0 : block.q1, None]
        hi = self.hi[block.rows, block.q0 : block.q1, None]
        return ((key >= lo) & (key <= hi)).unsqueeze(1)

    def dense(self, keys: int) -> Tensor:
        """Bool (B, 1, L, keys): for the reference, and to look at."""
        return self.mask(Block(slice(None), 0, self.lo.shape[1], 0, keys, "masked"))

    @property
    def pairs(self) -> int:
        """Visible (query, key) pairs: what attention over this interval costs."""
        return int((self.hi - self.lo + 1).sum())


def interval(
    position_ids: Tensor,
    attention_mask: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    past: int | Tensor = 0,
) -> Interval:
    """The interval of every query from its indices alone: equal t in one document is the same image.

    lo is the document's start (or the first key that is not padding); hi is the image's last token for a visual token,
    else the query itself. A query that is padding sees itself, so that no softmax is over nothing.

    Args:
        position_ids: (3, B, L), rows (t, t + h, t + w).
        attention_mask: (B, L) or (B, past + L), zeros only before or after the ones of a row.
        cu_seqlens: (documents + 1,) document boundaries in the flattened (B * L) stream.
        past: keys already in the cache; a chunk must not end inside an image (a cached prefix may).

    Raises:
        ValueError: an `attention_mask` of the wrong shape, or with a zero between ones.
    """
    t = position_ids[0]
    batch, length = t.shape
    index = torch.arange(length, device=t.device).expand(batch, length)
    first = document_start(t.shape, t.device, cu_seqlens).view(batch, length)
    first = first - first[:, :1]  # within the row
    real, lead = _padding(attention_mask, batch, length, past, t.device)
    # Last token of each run of equal t: a run ends where t, the document or the padding changes.
    ends = torch.ones(batch, length, dtype=torch.bool, device=t.device)
    if length > 1:
        changes = (t[:, 1:] != t[:, :-1]) | (first[:, 1:] != first[:, :-1])
        if real is not None:
            changes = changes | (real[:, 1:] != real[:, :-1])
        ends[:, :-1] = changes
    nearest = torch.where(ends, index, length).flip(1).cummin(1).values.flip(1)
    lo, hi = first + 0 * index, nearest
    if cu_seqlens is None:
        lo, hi = torch.zeros_like(index), hi + past
    own = index + (past if cu_seqlens is None else 0)
    if real is not None and lead is not None:
        lo = torch.where(real, torch.maximum(lo, lead), own)
        hi = torch.where(real, hi, own)
    # A graph that is traced whole cannot depend on the values of lo and hi, as blocks do.
    has_blocks = t.device.type == "cpu" and not (torch.compiler.is_compiling() and isinstance(past, int))
    return Interval(lo.contiguous(), hi.contiguous(), _blocks(lo, hi) if has_blocks else ())


def side_by_side(starts: Tensor, widths: Sequence[int]) -> Interval:
    """Text of several rows, each after its own past, filled up on the right; its blocks are those of each row alone.

    Args:
        starts: (B,) int64, keys before each row's first query.
        widths: of each row; what fills a row up sees what is before it, and is of no use.
    """
    length = max(widths)
    hi = starts[:, None] + torch.arange(length, device=starts.device)
    lo = torch.zeros_like(hi)
    blocks: list[Block] = []
    for row, width in enumerate(widths) if starts.device.type == "cpu" else ():
        rows = slice(row, row + 1)
        blocks += _row_blocks(lo[row, :width], hi[row, :width], rows)
        if width < length:
            blocks.append(Block(rows, width, length, 0, int(hi[row, -1]) + 1, "masked"))
    return Interval(lo, hi, tuple(blocks))


def check_mask(attention_mask: Tensor | None, batch: int, length: int) -> None:
    """Raises `ValueError` for a mask of the wrong shape."""
    if attention_mask is None:
        return
    if attention_mask.ndim != 2 or attention_mask.shape[0] != batch or attention_mask.shape[1] < length:
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}; expected ({batch}, {length}), or "
            f"({batch}, cached + {length}) with a cache. Other masks are not an interval: use cu_seqlens for packed "
            "documents"
        )


def _padding(
    attention_mask: Tensor | None, batch: int, length: int, past: int | Tensor, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """(B, L) which queries are real, and (B, 1) the first key that is; None and None without padding."""
    check_mask(attention_mask, batch, length)
    if attention_mask is None:
        return None, None
    seen = attention_mask.to(device) != 0
    if torch.compiler.is_compiling() and isinstance(past, int):
        gaps = (seen[:, 1:] != seen[:, :-1]).sum(1) > 1 + (~seen[:, 0]).long()
        torch._assert_async(~gaps.any(), "attention_mask has zeros between ones")
        return seen[:, -length:], seen.long().argmax(1, keepdim=True)
    if length > 1 and bool(((seen[:, 1:] != seen[:, :-1]).sum(1) > 1 + (~seen[:, 0]).long()).any()):
        row = int(((seen[:, 1:] != seen[:, :-1]).sum(1) > 1 + (~seen[:, 0]).long()).nonzero()[0])
        raise ValueError(
            f"attention_mask row {row} has zeros between ones; padding may only stand before or after a row's tokens"
        )
    if length > 1 and bool(seen.all()):
        return None, None
    offset = past if seen.shape[1] > length else 0
    real = seen[:, -length:] if isinstance(offset, int) else seen.gather(1, _columns(offset, batch, length, device))
    return real, seen.long().argmax(1, keepdim=True)


def _columns(offset: Tensor, batch: int, length: int, device: torch.device) -> Tensor:
    return (torch.arange(length, device=device) + offset).expand(batch, length)


def _blocks(lo: Tensor, hi: Tensor) -> tuple[Block, ...]:
    """Cut the queries into blocks, so that one kernel call serves each and no mask is taller than `BLOCK`."""
    batch, length = lo.shape
    if batch == 1 or (bool((lo == lo[:1]).all()) and bool((hi == hi[:1]).all())):
        return tuple(_row_blocks(lo[0], hi[0], slice(None)))
    if length <= BLOCK:
        k0, k1 = int(lo.min()), int(hi.max()) + 1
        return (Block(slice(None), 0, length, k0, k1, "masked"),)
    return tuple(block for row in range(batch) for block in _row_blocks(lo[row], hi[row], slice(row, row + 1)))


def _row_blocks(lo: Tensor, hi: Tensor, rows: slice) -> list[Block]:
    """Blocks of one row (or of rows that are all alike): long runs of equal intervals whole, the rest between them."""
    length = len(lo)
    change = ((lo[1:] != lo[:-1]) | (hi[1:] != hi[:-1])).nonzero().squeeze(1) + 1
    edges = [0, *change.tolist(), length]
    blocks: list[Block] = []
    pending = 0  # queries before this one have their block
    low, high = lo.tolist(), hi.tolist()
    for a, b in pairwise(edges):
        if b - a >= RUN or (a == 0 and b == length):
            blocks += _between(low, high, pending, a, rows)
            blocks.append(Block(rows, a, b, low[a], high[a] + 1, "full"))
            pending = b
    return blocks + _between(low, high, pending, length, rows)


def _between(lo: list[int], hi: list[int], a: int, b: int, rows: slice) -> list[Block]:
    """Blocks of queries [a, b): one causal block where a document begins and is only text, else masked ones."""
    blocks: list[Block] = []
    while a < b:
        stop = a
        if hi[a] == lo[a]:  # a document's first token
            while stop < b and lo[stop] == lo[a] and hi[stop] == lo[a] + stop - a:
                stop += 1
        if stop - a >= RUN or (stop == b and stop > a):
            blocks.append(Block(rows, a, stop, lo[a], hi[stop - 1] + 1, "causal"))
        else:
            stop = min(b, a + BLOCK)
            blocks.append(Block(rows, a, stop, min(lo[a:stop]), max(hi[a:stop]) + 1, "masked"))
        a = stop
    return blocks

"""Attention by PyTorch's fused kernel, block by block, and by plain products where a CPU is faster with those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pixelword import machine

from .masks import BLOCK, Block, Interval

#: Up to this many queries (times heads that share a key head) two plain products beat the flash kernel on a CPU.
FEW = 16
#: From this many queries on a pair of plain products for each key head may beat it too; it is measured on the machine.
MANY = 256
#: Queries in one pair of plain products, so that scores grow with the keys only.
TALL = 512


def kernel_of(queries: int, group: int) -> Literal["few", "some", "many"]:
    """By their number, and that of the heads that share a key head, how `attend_sdpa` goes about queries. Rows of one
    kind can share a batch, each with blocks of its own, and no bit of any changes."""
    return "few" if queries * group <= FEW else "some" if queries < MANY else "many"


def attend_sdpa(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float) -> Tensor:
    """Attention block by block: no mask is taller than a block, most blocks need none, no scores are L x L."""
    if kernel_of(q.shape[2], q.shape[1] // k.shape[1]) == "few":
        return _attend_few(q, k, v, visible, scale)
    run = _products if _products_are_faster(q, k, v) else _flash
    groups: list[list[Block]] = []
    for block in visible.blocks or _whole(q, k):
        if not groups or groups[-1][0].rows != block.rows:
            groups.append([])
        groups[-1].append(block)
    queries, keys, values = ((x,) if len(groups) == 1 else x.split(1) for x in (q, k, v))
    rows = [_attend_row(run, *row, visible, scale) for row in zip(groups, queries, keys, values, strict=True)]
    return rows[0] if len(rows) == 1 else torch.cat(rows, 0)


def _attend_row(
    run: Callable[..., Tensor], blocks: list[Block], q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float
) -> Tensor:
    """One row (or rows that are all alike), block by block.

    Cut in one piece where blocks do not overlap: the gradient of a slice is a whole tensor of zeros around it, and with
    a slice of a long row for each block these zeros cost more than attention itself. Those of a split are joined.
    """
    starts, places = _stretches(blocks)
    sizes = [b - a for a, b in zip(starts, [*starts[1:], k.shape[2]], strict=True)]
    keys, values = k.split(sizes, 2), v.split(sizes, 2)
    parts: list[Tensor] = []
    for block, place, own in zip(blocks, places, q.split([b.q1 - b.q0 for b in blocks], 2), strict=True):
        inside = slice(block.k0 - starts[place], block.k1 - starts[place])
        parts.append(run(own, keys[place][:, :, inside], values[place][:, :, inside], visible, block, scale))
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _stretches(blocks: list[Block]) -> tuple[list[int], list[int]]:
    """Where stretches of keys start that no block crosses (documents, mostly), and the stretch of every block."""
    starts, places, end = [0], [], 0
    for block in blocks:
        if block.k0 < starts[-1]:  # padding before a cache: blocks do not follow each other
            return [0], [0] * len(blocks)
        if block.k0 >= end and block.k0 > starts[-1]:
            starts.append(block.k0)
        places.append(len(starts) - 1)
        end = max(end, block.k1)
    return starts, places


def _flash(q: Tensor, k: Tensor, v: Tensor, visible: Interval, block: Block, scale: float) -> Tensor:
    """PyTorch's fused kernel over one block. A CPU's wants V as wide as K: padded, it is 2 to 10 times faster."""
    width = v.shape[-1]
    mask = visible.mask(block) if block.kind == "masked" else None
    v = F.pad(v, (0, k.shape[-1] - width))
    out = F.scaled_dot_product_attention(q, k, v, mask, 0.0, block.kind == "causal", scale=scale, enable_gqa=True)
    return out[..., :width]


def _products(q: Tensor, k: Tensor, v: Tensor, visible: Interval, block: Block, scale: float) -> Tensor:
    """Two plain products per key head over one block, `TALL` queries at a time: scores are (TALL * group, keys)."""
    group, length = q.shape[1] // k.shape[1], q.shape[2]
    out = torch.empty(*q.shape[:3], v.shape[-1], dtype=v.dtype, device=v.device)
    for a in range(0, length, TALL):
        b = min(a + TALL, length)
        k1 = block.k0 + b if block.kind == "causal" else block.k1
        part = Block(block.rows, block.q0 + a, block.q0 + b, block.k0, k1, block.kind)
        hidden = None if block.kind == "full" else ~visible.mask(part)
        for row in range(q.shape[0]):
            for head in range(k.shape[1]):
                heads = slice(head * group, (head + 1) * group)
                keys, values = (x[row, head, : k1 - block.k0] for x in (k, v))
                scores = ((q[row, heads, a:b] * scale).flatten(0, 1) @ keys.t()).view(group, b - a, -1)
                if hidden is not None:
                    scores.masked_fill_(hidden[row if len(hidden) > 1 else 0], -torch.inf)
                out[row, heads, a:b] = scores.softmax(-1) @ values
    return out


def _products_are_faster(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """On some CPUs plain products in bfloat16 run 2.5 times as fast as the flash kernel, on others a tenth as fast.

    Not where a backward pass follows, which would keep all scores, and not where short rows make many small products.
    """
    wants_gradient = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    is_plain = q.device.type == "cpu" and q.dtype == torch.bfloat16 and not torch.compiler.is_compiling()
    return is_plain and not wants_gradient and q.shape[2] >= MANY and machine.plain_attention_pays(q.dtype)


def _attend_few(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float) -> Tensor:
    """Decoding: the heads that share a key head become rows of one product, and the cache is read once, unpadded."""
    batch, heads, length, _ = q.shape
    kv_heads, keys = k.shape[1], k.shape[2]
    blocks = visible.blocks
    single = blocks[0] if len(blocks) == 1 else None
    k0, k1 = (single.k0, single.k1) if single else (0, keys)
    # Products over a narrowed view run at less than half the speed: narrow only where most of a buffer is empty.
    if (k1 - k0) * 3 > keys:
        k0, k1 = 0, keys
    k, v = k[:, :, k0:k1], v[:, :, k0:k1]
    rows = q.view(batch, kv_heads, -1, length, q.shape[-1]).flatten(2, 3) * scale
    scores = (rows @ k.transpose(-1, -2)).to(torch.promote_types(q.dtype, torch.float32))
    if single is None or single.kind != "full" or (single.k0, single.k1) != (k0, k1):
        key = torch.arange(k0, k1, device=q.device)
        seen = (key >= visible.lo[:, None, :, None]) & (key <= visible.hi[:, None, :, None])
        scores = scores.masked_fill(~seen.repeat(1, 1, heads // kv_heads, 1), -torch.inf)
    out = scores.softmax(-1).to(v.dtype) @ v
    return out.view(batch, heads, length, -1)


def _whole(q: Tensor, k: Tensor) -> tuple[Block, ...]:
    """Blocks where lo and hi live on a device: heights of `BLOCK`, every key, masked."""
    length = q.shape[2]
    if length <= BLOCK:  # by itself, so that the length may stay open in a graph
        return (Block(slice(None), 0, length, 0, k.shape[2], "masked"),)
    ends = range(0, length, BLOCK)
    return tuple(Block(slice(None), a, min(a + BLOCK, length), 0, k.shape[2], "masked") for a in ends)

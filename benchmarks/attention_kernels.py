"""Attention over a pack of documents: flex with its tiles, and what else a GPU offers, V padded to K's width for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from cases import TRAINED_QUICK
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import flex_attention
from train_candidates import stream

from pixelword.model.attention import attend_reference
from pixelword.model.attention_flex import block_mask
from pixelword.model.attention_sdpa import attend_sdpa
from pixelword.model.masks import Interval, interval
from pixelword.model.rope import rope_index

#: (q, k, v, scale) -> (1, heads, L, V's width)
Attention = Callable[[Tensor, Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Heads:
    """Heads of queries and keys, the width of a key (2 * head_dim) and of a value (head_dim)."""

    queries: int
    keys: int
    wide: int
    narrow: int


#: By the name in the tables: QK width / V width. 256/128 is the 0.6B, 2B and 9B models', 128/64 mini's.
WIDTHS = {"256/128": Heads(16, 8, 256, 128), "128/64": Heads(16, 8, 128, 64)}


@dataclass(frozen=True)
class Row:
    """What is visible in one row of packed documents.

    visible: on the device, as the model hands it to flex. blocks: the same, cut for one kernel call a block.
    starts: (documents + 1,) int32. longest: tokens of the longest document. pairs: visible (query, key) pairs.
    """

    visible: Interval
    blocks: Interval
    starts: Tensor
    longest: int
    pairs: int


def row(length: int, device: torch.device) -> Row:
    """A pack of `length` tokens of the benchmark's documents."""
    (pack,) = stream(1, length, TRAINED_QUICK)
    positions = rope_index(pack.mm_token_type_ids != 0, pack.image_grid_hw // 2, None, pack.cu_seqlens)
    seen = interval(positions, None, pack.cu_seqlens)
    lo, hi = seen.lo.to(device), seen.hi.to(device)
    lengths = pack.cu_seqlens.diff()
    return Row(
        Interval(lo, hi), Interval(lo, hi, seen.blocks), pack.cu_seqlens.to(device), int(lengths.max()), seen.pairs
    )


@dataclass(frozen=True)
class Kernel:
    """One way to compute attention.

    prepare: (row, heads) -> attention of (q, k, v, scale). exact: it shows every query just what it may see.
    measure: "both" passes, or the "forward" or "backward" one alone (where options touch only that).
    forward_only: on a CPU it has no backward pass.
    """

    title: str
    prepare: Callable[[Row, Heads], Attention]
    exact: bool = True
    measure: str = "both"
    options: dict[str, Any] = field(default_factory=dict)
    forward_only: bool = False


def _wide(v: Tensor, like: Tensor) -> Tensor:
    return F.pad(v, (0, like.shape[-1] - v.shape[-1]))


def _flex(options: dict[str, Any], padded: bool = False) -> Callable[..., Any]:
    def prepare(row: Row, heads: Heads) -> Attention:
        torch.compiler.reset()  # other options would recompile the same function, up to a limit, then fall back
        on_gpu = row.visible.lo.device.type == "cuda"
        attention: Any = torch.compile(flex_attention, dynamic=False) if on_gpu else flex_attention
        mask = block_mask(row.visible, row.visible.lo.shape[1])

        def run(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
            values = _wide(v, k) if padded else v
            out = attention(q, k, values, block_mask=mask, scale=scale, enable_gqa=True, kernel_options=options or None)
            return out[..., : v.shape[-1]]

        return run

    return prepare


def _blocks(row: Row, heads: Heads) -> Attention:
    return lambda q, k, v, scale: attend_sdpa(q, k, v, row.blocks, scale)


def _dense(row: Row, heads: Heads) -> Attention:
    mask = row.visible.dense(row.visible.lo.shape[1])

    def run(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        out = F.scaled_dot_product_attention(q, k, _wide(v, k), mask, scale=scale, enable_gqa=True)
        return out[..., : v.shape[-1]]

    return run


def _varlen(row: Row, heads: Heads) -> Attention:
    from torch.nn.attention.varlen import varlen_attn  # torch 2.10 and later

    def run(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        queries, keys, values = (x.squeeze(0).transpose(0, 1) for x in (q, k, _wide(v, k)))
        ends, longest = row.starts, row.longest
        out = varlen_attn(
            queries, keys, values, ends, ends, longest, longest, scale=scale, window_size=(-1, 0), enable_gqa=True
        )
        assert isinstance(out, Tensor)  # a tuple only where more than the output is asked for
        return out.transpose(0, 1).unsqueeze(0)[..., : v.shape[-1]]

    return run


def kernels(sweep: bool) -> Iterator[Kernel]:
    """All kernels; with `sweep` flex's tiles as well, first of its forward pass, then of its backward pass."""
    yield Kernel("flex, its own tiles", _flex({}), forward_only=True)
    yield Kernel("flex, V padded", _flex({}, padded=True), forward_only=True)
    yield Kernel("flex, BACKEND=FLASH", _flex({"BACKEND": "FLASH"}), forward_only=True)
    yield Kernel("SDPA block by block, V padded", _blocks)
    yield Kernel("varlen flash, V padded, causal only", _varlen, exact=False)
    yield Kernel("SDPA, dense L × L mask, V padded", _dense)
    if sweep:
        yield from tiles()


def tiles() -> Iterator[Kernel]:
    """Flex with other tiles, one pass at a time. What does not fit the device fails and says so."""
    for m, n in ((64, 32), (64, 64), (128, 32), (128, 64), (128, 128)):
        for warps in (4, 8):
            for stages in (1, 2, 3):
                chosen = {"BLOCK_M": m, "BLOCK_N": n, "num_warps": warps, "num_stages": stages}
                yield _tiled("forward", f"{m} × {n}, {warps} warps, {stages} stages", chosen)
    # N1 must be a multiple of M1, and M2 of N2
    pairs = ((16, 64), (32, 64), (32, 128), (64, 64), (64, 128))
    for m1, n1, m2, n2 in ((*pair, *pair[::-1]) for pair in pairs):
        for warps in (4, 8):
            for stages in (1, 2):
                chosen = {"BLOCK_M1": m1, "BLOCK_N1": n1, "BLOCK_M2": m2, "BLOCK_N2": n2}
                chosen |= {"num_warps": warps, "num_stages": stages}
                title = f"{m1} × {n1} and {m2} × {n2}, {warps} warps, {stages} stages"
                yield _tiled("backward", title, chosen)


def _tiled(which: str, title: str, chosen: dict[str, int]) -> Kernel:
    options = {f"{which[0]}wd_{key}": value for key, value in chosen.items()}
    return Kernel(f"flex {which}, {title}", _flex(options), measure=which, options=options)


def together(forward: Kernel, backward: Kernel) -> Kernel:
    """Flex with the best tiles of either pass."""
    options = forward.options | backward.options
    return Kernel("flex, the best tiles of both passes", _flex(options), options=options)


def tensors(heads: Heads, length: int, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Random q, k, v and the gradient of the output, the first three wanting theirs."""
    generator = torch.Generator(device).manual_seed(0)

    def draw(count: int, width: int) -> Tensor:
        return torch.randn(1, count, length, width, generator=generator, device=device).to(dtype)

    q, k, v = draw(heads.queries, heads.wide), draw(heads.keys, heads.wide), draw(heads.keys, heads.narrow)
    return [x.requires_grad_() for x in (q, k, v)] + [draw(heads.queries, heads.narrow)]


def errors(kernel: Kernel, heads: Heads, seen: Row, dtype: torch.dtype) -> dict[str, float]:
    """|difference| / |float64 reference|, Frobenius, of the output and the three gradients, on equal rounded inputs.

    Only the output's where the kernel has no backward pass on this device (flex on a CPU).
    """
    device, length = seen.starts.device, seen.visible.lo.shape[1]
    scale = heads.narrow**-0.5
    q, k, v, g = tensors(heads, length, device, dtype)
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    wanted = attend_reference(exact[0], exact[1], exact[2], seen.visible, scale)
    wanted.backward(g.double())
    attention = kernel.prepare(seen, heads)
    if kernel.forward_only and device.type == "cpu":
        return {"output": _error(attention(q.detach(), k.detach(), v.detach(), scale), wanted)}
    out = attention(q, k, v, scale)
    found = {"output": _error(out, wanted)}
    out.backward(g)
    for name, x, true in zip(("dq", "dk", "dv"), (q, k, v), exact, strict=True):
        assert x.grad is not None and true.grad is not None
        found[name] = _error(x.grad, true.grad)
    return found


def _error(found: Tensor, wanted: Tensor) -> float:
    return float((found.detach().double() - wanted.detach()).norm() / wanted.detach().norm())

"""THW-decoupled attention, and `attend()`: one signature, a plain reference and the kernels that must equal it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.cache_utils import Cache

from .configuration import NeoOVTextConfig
from .flex import attend_flex
from .rotary import rotate
from .visibility import Interval

#: Up to this many queries (times heads that share a key head) two plain products beat the flash kernel on a CPU.
FEW = 16


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis, with a weight, computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def attend_reference(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float) -> Tensor:
    """Attention in plain float32 mathematics (float64 for float64), with the L x K scores written out."""
    exact = torch.promote_types(q.dtype, torch.float32)
    group = q.shape[1] // k.shape[1]
    keys, values = (x.to(exact).repeat_interleave(group, 1) for x in (k, v))
    scores = q.to(exact) @ keys.transpose(-1, -2) * scale
    scores = scores.masked_fill(~visible.dense(k.shape[2]), -torch.inf)
    return (scores.softmax(-1) @ values).to(q.dtype)


def attend_sdpa(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float) -> Tensor:
    """Attention by PyTorch's fused kernels, block by block: no mask is taller than a block, most blocks need none."""
    if q.shape[2] * (q.shape[1] // k.shape[1]) <= FEW:
        return _attend_few(q, k, v, visible, scale)
    width = v.shape[-1]
    # The CPU's flash kernel wants V as wide as K: padding it is 2 to 10 times faster than what it falls to otherwise.
    v = F.pad(v, (0, k.shape[-1] - width))
    rows: list[Tensor] = []
    parts: list[Tensor] = []
    blocks = visible.blocks or _whole(q, k)
    for i, block in enumerate(blocks):
        mask = visible.mask(block) if block.kind == "masked" else None
        keys, values = (x[block.rows, :, block.k0 : block.k1] for x in (k, v))
        queries = q[block.rows, :, block.q0 : block.q1]
        causal = block.kind == "causal"
        out = F.scaled_dot_product_attention(queries, keys, values, mask, 0.0, causal, scale=scale, enable_gqa=True)
        parts.append(out[..., :width])
        if i + 1 == len(blocks) or blocks[i + 1].rows != block.rows:
            rows.append(parts[0] if len(parts) == 1 else torch.cat(parts, 2))
            parts = []
    return rows[0] if len(rows) == 1 else torch.cat(rows, 0)


def _attend_few(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float) -> Tensor:
    """Decoding: the heads that share a key head become rows of one product, and the cache is read once, unpadded."""
    batch, heads, length, _ = q.shape
    kv_heads = k.shape[1]
    blocks = visible.blocks
    single = blocks[0] if len(blocks) == 1 else None
    k0, k1 = (single.k0, single.k1) if single else (0, k.shape[2])
    k, v = k[:, :, k0:k1], v[:, :, k0:k1]
    rows = q.view(batch, kv_heads, -1, length, q.shape[-1]).flatten(2, 3) * scale
    scores = (rows @ k.transpose(-1, -2)).to(torch.promote_types(q.dtype, torch.float32))
    if single is None or single.kind != "full":
        key = torch.arange(k0, k1, device=q.device)
        seen = (key >= visible.lo[:, None, :, None]) & (key <= visible.hi[:, None, :, None])
        scores = scores.masked_fill(~seen.repeat(1, 1, heads // kv_heads, 1), -torch.inf)
    out = scores.softmax(-1).to(v.dtype) @ v
    return out.view(batch, heads, length, -1)


def _whole(q: Tensor, k: Tensor) -> tuple:
    """Blocks where lo and hi live on a device: heights of `BLOCK`, every key, masked."""
    from .visibility import BLOCK, Block

    ends = range(0, q.shape[2], BLOCK)
    return tuple(Block(slice(None), a, min(a + BLOCK, q.shape[2]), 0, k.shape[2], "masked") for a in ends)


KERNELS: dict[str, Callable[[Tensor, Tensor, Tensor, Interval, float], Tensor]] = {
    "eager": attend_reference,
    "sdpa": attend_sdpa,
    "flex_attention": attend_flex,
}


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float, kernel: str = "sdpa") -> Tensor:
    """Attention over an interval of keys per query.

    Args:
        q: (B, heads, L, D), k: (B, kv_heads, K, D), v: (B, kv_heads, K, E); E may be narrower than D.
        visible: lo and hi of every query, indices into K.
        scale: factor of the scores; 1 / sqrt(head_dim) although D = 2 * head_dim.
        kernel: "eager" (the reference), "sdpa" or "flex_attention": `attn_implementation`'s names.

    Returns:
        (B, heads, L, E) in q's dtype.
    """
    return KERNELS[kernel](q, k, v, visible, scale)


class NeoOVAttention(nn.Module):
    """Qwen3's attention with its temporal branch beside height and width branches (NEO-ov, section 3.2).

    A head of Q and K is [T: head_dim | H: head_dim / 2 | W: head_dim / 2]; V and the output keep head_dim.
    """

    def __init__(self, config: NeoOVTextConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.scaling = config.head_dim**-0.5
        query, key = config.num_attention_heads * self.head_dim, config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query, bias=False)
        self.q_proj_hw = nn.Linear(config.hidden_size, query, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key, bias=False)
        self.k_proj_hw = nn.Linear(config.hidden_size, key, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key, bias=False)
        self.o_proj = nn.Linear(query, config.hidden_size, bias=False)
        eps, half = config.rms_norm_eps, self.head_dim // 2
        for name in ("q_norm", "k_norm"):
            setattr(self, name, RMSNorm(self.head_dim, eps) if config.qk_norm else nn.Identity())
            setattr(self, f"{name}_h", RMSNorm(half, eps))
            setattr(self, f"{name}_w", RMSNorm(half, eps))

    def _head(self, t: Tensor, hw: Tensor, which: str) -> Tensor:
        """Join a projection's branches into heads: (B, L, heads * head_dim) twice -> (B, heads, L, 2 * head_dim).

        Each part is normalised by itself; the halves that a rotation pairs are laid out [t1 h1 w1 | t2 h2 w2].
        """
        t = t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        h, w = hw.unflatten(-1, (-1, 2, self.head_dim // 2)).unbind(-2)
        t = getattr(self, f"{which}_norm")(t)
        h = getattr(self, f"{which}_norm_h")(h.transpose(1, 2))
        w = getattr(self, f"{which}_norm_w")(w.transpose(1, 2))
        (t1, t2), (h1, h2), (w1, w2) = (part.chunk(2, -1) for part in (t, h, w))
        return torch.cat((t1, h1, w1, t2, h2, w2), -1)

    def forward(
        self, hidden: Tensor, rotary: tuple[Tensor, Tensor], visible: Interval, past_key_values: Cache | None = None
    ) -> Tensor:
        """hidden (B, L, hidden_size), tables of `rotary_tables`, the interval -> (B, L, hidden_size)."""
        v = self.v_proj(hidden).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        q = rotate(self._head(self.q_proj(hidden), self.q_proj_hw(hidden), "q"), *rotary).to(v.dtype)
        k = rotate(self._head(self.k_proj(hidden), self.k_proj_hw(hidden), "k"), *rotary).to(v.dtype)
        if past_key_values is not None:
            k, v = past_key_values.update(k, v, self.layer_idx)
        out = attend(q, k, v, visible, self.scaling, self.config._attn_implementation or "sdpa")
        return self.o_proj(out.transpose(1, 2).flatten(2))

"""`attend()`: one signature, a plain reference and the kernels that must equal it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .attention_flex import attend_flex
from .attention_sdpa import attend_sdpa
from .masks import Interval


def attend_reference(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float) -> Tensor:
    """Attention in plain float32 mathematics (float64 for float64), with the L x K scores written out."""
    return mixed(attention_weights(q, k, visible, scale), v)


def mixed(weights: Tensor, v: Tensor) -> Tensor:
    """Values (B, kv_heads, K, E) under weights (B, heads, L, K): (B, heads, L, E) in v's dtype."""
    return (weights @ v.to(weights.dtype).repeat_interleave(weights.shape[1] // v.shape[1], 1)).to(v.dtype)


def attention_weights(q: Tensor, k: Tensor, visible: Interval, scale: float) -> Tensor:
    """(B, heads, L, K): how much each query takes of each key; rows sum to 1. At least float32."""
    exact = torch.promote_types(q.dtype, torch.float32)
    keys = k.to(exact).repeat_interleave(q.shape[1] // k.shape[1], 1)
    scores = q.to(exact) @ keys.transpose(-1, -2) * scale
    return scores.masked_fill(~visible.dense(k.shape[2]), -torch.inf).softmax(-1)


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

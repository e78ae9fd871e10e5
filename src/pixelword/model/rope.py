"""Native-RoPE: every token's (t, h, w) index and cosine and sine tables, made once per forward (NEO, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor


def rope_index(
    visual: Tensor,
    token_hw: Tensor | None = None,
    attention_mask: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
) -> Tensor:
    """Indices of a batch of sequences, as M-RoPE rows (t, t + h, t + w), so that text needs no special case.

    Text takes one step of t and (h, w) = (0, 0). All tokens of an image share one t and carry their own row and column.
    t starts at 0 at every row's first real token and at every packed document's start.

    Args:
        visual: (B, L) bool, True at visual tokens.
        token_hw: (images, 2) int64, visual tokens along height and width, images in order of appearance.
        attention_mask: (B, L), 0 at padding, whose indices are 0 and take no step.
        cu_seqlens: (documents + 1,) starts of packed documents in the flattened (B * L) stream, row starts included.

    Returns:
        (3, B, L) int64.
    """
    shape, device = visual.shape, visual.device
    flat = visual.flatten()
    h = torch.zeros(flat.numel(), dtype=torch.long, device=device)
    w = torch.zeros_like(h)
    step = torch.ones_like(h)
    if token_hw is not None and len(token_hw):
        _, row, column = token_coordinates(token_hw.to(device))
        place = flat.nonzero().squeeze(1)
        h[place], w[place] = row, column
        step[place] = ((row == 0) & (column == 0)).long()
    if attention_mask is not None:
        step = step * (attention_mask.flatten() != 0)
    # t = steps so far within the document: running sum, less the sum before the document's start.
    total = step.cumsum(0)
    start = document_start(shape, device, cu_seqlens)
    t = (total - (total - step)[start] - 1).clamp(min=0)
    return torch.stack((t, t + h, t + w)).view(3, *shape)


def token_coordinates(token_hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Image number, row and column, each (tokens,) int64, of all cells of grids `token_hw` (images, 2), row-major."""
    count = token_hw.prod(-1)
    image = torch.repeat_interleave(torch.arange(len(token_hw), device=token_hw.device), count)
    within = torch.arange(image.numel(), device=token_hw.device) - (count.cumsum(0) - count)[image]
    width = token_hw[image, 1]
    return image, within // width, within % width


def document_start(shape: torch.Size, device: torch.device, cu_seqlens: Tensor | None = None) -> Tensor:
    """(B * L,) int64: for each token of the flattened stream, the flat index of its document's first token."""
    batch, length = shape
    index = torch.arange(batch * length, device=device)
    row = index - index % length
    if cu_seqlens is None:
        return row
    mark = torch.zeros_like(index)
    begins = cu_seqlens[:-1].to(device=device, dtype=torch.long)
    mark[begins] = begins
    return torch.maximum(mark.cummax(0).values, row)


def rotary_tables(
    position_ids: Tensor, head_dim: int, theta: float, theta_hw: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every token's angles, each (B, 1, L, head_dim), ordered [T: head_dim / 2 | H: / 4 | W: / 4].

    Each part has its own dimension's frequencies: T those of `head_dim` at base `theta`, H and W those of
    `head_dim / 2` at base `theta_hw`. `position_ids` is (3, B, L) in rows (t, t + h, t + w).
    """
    device = position_ids.device
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    exponent_hw = torch.arange(0, head_dim // 2, 2, dtype=torch.float32, device=device) / (head_dim // 2)
    t, th, tw = position_ids
    parts = ((t, theta**-exponent), (th - t, theta_hw**-exponent_hw), (tw - t, theta_hw**-exponent_hw))
    angle = torch.cat([p[..., None].float() * frequency for p, frequency in parts], -1).unsqueeze(1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs (x[i], x[i + D/2]) of the last axis D by D/2 angles: Qwen3's `rotate_half`, all three parts at once.

    The parts are laid out [t1 h1 w1 | t2 h2 w2] (first and second halves), which leaves every dot product as it was.
    """
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)

"""Positions that Native-RoPE is compared with: other indices of the same tokens, other shares of a head's channels.

The network's parameters stay as they are, so that positions are all that differs. A native head of Q and K is twice an
ordinary one ([T: head_dim | H and W: head_dim]); here both halves are turned as an ordinary head of `head_dim` is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pixelword.model.network import Decoder
from pixelword.model.rope import document_start
from pixelword_lab.ablations.recipe import Way

#: Steps that a frame takes in Video-RoPE (Wei et al. 2025, arXiv 2502.05173).
FRAME_STEP = 2
T, H, W = 0, 1, 2


def _line(pairs: int) -> list[int]:
    return [T] * pairs


def _sections(pairs: int) -> list[int]:
    """Qwen2-VL's M-RoPE: the fastest quarter turns with t, then three eighths each with h and w."""
    t, h = pairs // 4, pairs * 3 // 8
    return [T] * t + [H] * h + [W] * (pairs - t - h)


def _in_turn(pairs: int) -> list[int]:
    """t, h, w, t, h, w, …: each axis has fast and slow channels."""
    return [(T, H, W)[i % 3] for i in range(pairs)]


def _slow_time(pairs: int) -> list[int]:
    """Video-RoPE: h and w in turn on the fast channels, t on the slowest quarter."""
    slow = pairs // 4
    return [(H, W)[i % 2] for i in range(pairs - slow)] + [T] * slow


#: The axis that turns each of a head's pairs of channels, fastest first.
AXES: dict[Way, Callable[[int], list[int]]] = {
    "line": _line,
    "m-rope": _sections,
    "interleaved": _in_turn,
    "video": _slow_time,
}


def indices(way: Way, native: Tensor, visual: Tensor, cu_seqlens: Tensor | None = None) -> Tensor:
    """Each token's (t, h, w), all counted in one line as these ways do, from its native rows.

    Args:
        native: (3, B, L), rows (t, t + h, t + w) of `rope_index`.
        visual: (B, L) bool, the places of visual tokens.
        cu_seqlens: (documents + 1,) boundaries of packed documents in the flattened stream.

    Returns:
        (3, B, L): "line": the place in the document, three times. "m-rope", "interleaved": text steps by one, a
        image keeps one t, h and w count on from it, and text goes on after the largest. "video": the same with h and
        w counted from the image's middle, and text goes on `FRAME_STEP` later. "native": `native` itself.
    """
    if way == "native":
        return native
    start = document_start(visual.shape, visual.device, cu_seqlens)
    place = (torch.arange(start.numel(), device=start.device) - start).view(visual.shape)
    if way == "line":
        return place.expand(3, *visual.shape)
    t, h, w = native[0], native[1] - native[0], native[2] - native[0]
    last = visual.clone()  # of an image; words stand between two images, so t changes there
    last[:, :-1] &= t[:, 1:] != t[:, :-1]
    jump = torch.maximum(h, w) if way != "video" else torch.full_like(t, FRAME_STEP - 1)
    jump = torch.where(last, jump, 0).flatten()
    before = jump.cumsum(0) - jump
    base = t + (before - before[start]).view(t.shape)
    if way == "video":
        h, w = (axis - _middle(axis, visual, last) for axis in (h, w))
    return torch.stack((base, base + h, base + w))


def _middle(axis: Tensor, visual: Tensor, last: Tensor) -> Tensor:
    """(B, L): half the extent of each visual token's image along an axis, 0 at words."""
    half = (axis.flatten()[last.flatten()] + 1) // 2
    number = (last.flatten().cumsum(0) - last.flatten().long()).clamp(max=max(len(half) - 1, 0))
    return torch.where(visual, half[number].view(axis.shape), 0) if len(half) else torch.zeros_like(axis)


def tables(way: Way, rows: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine of `indices` (3, B, L), each (B, 1, L, head_dim): an ordinary head's angles, twice."""
    frequency = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float32, device=rows.device) / head_dim)
    axis = torch.tensor(AXES[way](head_dim // 2), device=rows.device)
    angle = rows[axis].permute(1, 2, 0).float() * frequency
    angle = torch.cat((angle, angle), -1).unsqueeze(1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


class PlacedDecoder(Decoder):
    """The decoder with another way of positions; `position_ids` are those of `indices`."""

    way: Way = "native"

    def rotary(self, position_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if self.way == "native":
            return super().rotary(position_ids, dtype)
        return tables(self.way, position_ids, self.config.head_dim, self.config.rope_theta, dtype)

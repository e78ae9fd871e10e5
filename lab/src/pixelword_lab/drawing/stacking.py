"""Lines of text below one another.

flat = stack([strip, other], gap=6, align="left")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pixelword.synthetic.typeset import Strip

#: Size of type in pixels below which people have to guess.
SMALLEST = 16


@dataclass(frozen=True)
class Stack:
    """Lines below one another in a rectangle of `size` (width, height)."""

    strips: tuple[Strip, ...]
    size: tuple[int, int]


def stack(strips: Sequence[Strip], *, gap: int, align: str = "left") -> Stack:
    """The lines from the top down, `gap` pixels apart. align: "left", "center" or "right"."""
    width = max(strip.mask.width for strip in strips)
    placed, y = [], 0
    for strip in strips:
        spare = width - strip.mask.width
        placed.append(replace(strip, at=({"left": 0, "center": spare // 2, "right": spare}[align], y)))
        y += strip.mask.height + gap
    return Stack(tuple(placed), (width, y - gap))

"""Computes the size an image is resized to, and so its token count; imports nothing heavy."""

from __future__ import annotations

import math

import numpy as np

from pixelword.errors import MediaError


def smart_resize(
    height: int,
    width: int,
    *,
    min_pixels: int,
    max_pixels: int,
    factor: int = 32,
    max_aspect_ratio: float = 200.0,
) -> tuple[int, int]:
    """Return the height and width that an image is resized to.

    Both are multiples of `factor`, `min_pixels <= height * width <= max_pixels` where rounding allows it, and the
    aspect ratio is kept as well as possible. Raises `MediaError` above `max_aspect_ratio`.
    """
    if height < 1 or width < 1:
        raise MediaError(f"an image of {width}x{height} pixels has no area; give one of at least one pixel per side")
    if max(height, width) > max_aspect_ratio * min(height, width):
        raise MediaError(
            f"an image of {width}x{height} pixels is longer than {max_aspect_ratio:g}:1; crop it or cut it into pieces"
        )
    high = max(factor, round(height / factor) * factor)
    wide = max(factor, round(width / factor) * factor)
    if high * wide > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        high = max(factor, math.floor(height / shrink / factor) * factor)
        wide = max(factor, math.floor(width / shrink / factor) * factor)
        if high * wide > max_pixels:  # the short side stands at `factor`: only the long one can still give way
            longest = max(factor, max_pixels // factor // factor * factor)
            high, wide = min(high, longest), min(wide, longest)
    elif high * wide < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        high = math.ceil(height * grow / factor) * factor
        wide = math.ceil(width * grow / factor) * factor
    return high, wide


def smart_resize_all(
    sizes: np.ndarray, *, min_pixels: np.ndarray | int, max_pixels: np.ndarray | int, factor: int = 32
) -> np.ndarray:
    """`smart_resize` of many (height, width) at once: (n, 2) int -> (n, 2) int64, equal to it number by number.

    min_pixels, max_pixels: one number, or one for each. Sizes must have been checked: nothing is raised here.
    """
    sides = np.asarray(sizes, np.int64)
    least, most = (np.broadcast_to(np.asarray(bound, np.int64), len(sides)) for bound in (min_pixels, max_pixels))
    area = sides.prod(-1)
    resized = np.maximum(factor, np.rint(sides / factor).astype(np.int64) * factor)
    large, small = resized.prod(-1) > most, resized.prod(-1) < least
    if large.any():
        shrink = np.sqrt(area[large] / most[large])[:, None]
        shrunk = np.maximum(factor, np.floor(sides[large] / shrink / factor).astype(np.int64) * factor)
        longest = np.maximum(factor, most[large] // factor // factor * factor)[:, None]
        resized[large] = np.where((shrunk.prod(-1) > most[large])[:, None], np.minimum(shrunk, longest), shrunk)
    grows = small & ~large
    if grows.any():
        grow = np.sqrt(least[grows] / area[grows])[:, None]
        resized[grows] = np.ceil(sides[grows] * grow / factor).astype(np.int64) * factor
    return resized


def shared_max_pixels(count: int, *, min_pixels: int, max_pixels: int) -> int:
    """Pixel limit per image in a sample of `count`: max(2 * max_pixels / count, min_pixels), at most max_pixels."""
    return min(max_pixels, max(2 * max_pixels // max(count, 1), min_pixels))

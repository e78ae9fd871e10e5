"""An image with alpha becomes a cut-out: trimmed to what can be seen, small, and encoded the same everywhere."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

#: Longest side of a cut-out in pixels.
MOST = 256
#: Shortest side; what is smaller cannot be made out.
LEAST = 20
_PIXELS = 24_000_000  # of a source: a few clip-art files have 40 million and more
_SEEN = 16  # alpha from which a pixel counts as seen


def cutout(content: bytes, *, most: int = MOST, lossless: bool = False) -> bytes | None:
    """An image's bytes -> WebP (RGBA, longest side <= `most`), trimmed to its alpha.

    None where it is not a cut-out: unreadable, without transparency, empty, too small, or too large to open.
    """
    picture = opened(content)
    if picture is None or not ("A" in picture.mode or "transparency" in picture.info):
        return None
    picture = picture.convert("RGBA")
    alpha = np.asarray(picture.getchannel("A"))
    box = picture.getchannel("A").point(lambda value: 255 if value >= _SEEN else 0).getbbox()
    if box is None or alpha.min() > _SEEN:
        return None
    picture = picture.crop(box)
    if max(picture.size) > most:
        picture.thumbnail((most, most), Image.Resampling.LANCZOS)
    return None if min(picture.size) < LEAST else encoded(picture, lossless=lossless)


def opened(content: bytes) -> Image.Image | None:
    """The image with its pixels; None where it cannot be read or has too many of them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of palettes, profiles and large images
            picture = Image.open(io.BytesIO(content))
            if picture.width * picture.height > _PIXELS:
                return None
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return picture


def encoded(picture: Image.Image, *, lossless: bool = False, quality: int = 90) -> bytes:
    """WebP; alpha is always lossless."""
    file = io.BytesIO()
    picture.save(file, "WEBP", lossless=lossless, quality=80 if lossless else quality, method=4)
    return file.getvalue()

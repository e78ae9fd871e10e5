"""Items of pools, or new ones where there is no pool; and a rendered image, each time a little different: margin,
size, light, grain, JPEG. Its boxes follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Box, Split

#: What a family's `render` is; see `family.Family`.
Render = Callable[[Random, Split, Assets], tuple[dict[str, bytes], dict[str, Any]]]


def item_of(pool: str, render: Render, rng: Random, split: Split, assets: Assets) -> tuple[bytes, dict[str, Any]]:
    """An item of a pool, or a new one where there is no pool: the file that its facts name as "file", and the facts."""
    if assets.has(pool):
        pack = assets.pack(pool)
        facts = rng.choice(pack.of(split))
        return pack.read(facts["file"]), facts
    files, facts = render(rng, split, assets)
    return files[facts["file"]], facts


def encode(picture: Image.Image, quality: int = 82) -> bytes:
    """As pools keep images: WebP, lossless where that is smaller, as it is for flat colours."""
    ways = []
    for options in ({"lossless": True, "method": 4}, {"quality": quality, "method": 4}):
        held = BytesIO()
        picture.save(held, "WEBP", **options)
        ways.append(held.getvalue())
    return min(ways, key=len)


def vary(
    rng: Random, picture: Image.Image, boxes: Mapping[str, Box], *, smallest: float = 0.85, largest: float = 1.2
) -> tuple[Image.Image, dict[str, Box]]:
    """The image (RGB) as another copy of it might look, and where its parts are now.

    smallest, largest: of the factor by which it is scaled; texts must stay readable at the smallest.
    """
    left, top, right, bottom = (rng.randint(0, 14) if rng.random() < 0.5 else 0 for _ in range(4))
    factor = rng.uniform(smallest, largest) if rng.random() < 0.6 else 1.0
    if left + top + right + bottom:
        # the margin continues the image's own ground
        grown = Image.new("RGB", (picture.width + left + right, picture.height + top + bottom), _corner(picture))
        grown.paste(picture, (left, top))
        picture = grown
    size = (max(96, round(picture.width * factor)), max(96, round(picture.height * factor)))
    across, down = size[0] / picture.width, size[1] / picture.height
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    moved = {
        name: ((x1 + left) * across, (y1 + top) * down, (x2 + left) * across, (y2 + top) * down)
        for name, (x1, y1, x2, y2) in boxes.items()
    }
    return _worn(rng, picture), moved


def _corner(picture: Image.Image) -> tuple[int, int, int]:
    red, green, blue = picture.getpixel((0, 0))  # type: ignore[misc]
    return int(red), int(green), int(blue)


def _worn(rng: Random, picture: Image.Image) -> Image.Image:
    """Light, grain and compression that leave everything readable."""
    if rng.random() < 0.3:
        picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.85, 1.1))
    if rng.random() < 0.25:
        grain = np.random.default_rng(rng.getrandbits(64)).normal(
            0, rng.uniform(2, 7), (picture.height, picture.width, 1)
        )
        picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        held = BytesIO()
        picture.save(held, "JPEG", quality=rng.randint(60, 92))
        picture = Image.open(held).convert("RGB")
    return picture

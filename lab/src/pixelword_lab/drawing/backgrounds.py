"""Grounds to put things on: plain, fading, grainy, patterned, and a few that have names (grass, sand, water, ...)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

RGB = tuple[int, int, int]

#: Ground -> how one says that something is on it.
NAMED: dict[str, str] = {
    "grass": "on grass", "sand": "on sand", "snow": "in snow", "water": "in water", "wood": "on a wooden floor",
    "bricks": "in front of a brick wall", "stars": "under a starry sky",
}  # fmt: skip
_NAMELESS = ("plain", "plain", "fading", "fading", "grain", "stripes", "checks", "dots", "clouds")
_TILE = 512
_VARIANTS = 3
#: Mean colours of the named grounds, for contrast and for their tiles.
_MEANS: dict[str, RGB] = {
    "grass": (84, 148, 52), "sand": (222, 196, 142), "snow": (236, 241, 248), "water": (66, 136, 196),
    "wood": (160, 112, 70), "bricks": (168, 84, 66), "stars": (16, 20, 48),
}  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """kind: a key of `NAMED` or a pattern without a name; rgb, other: its colours; seed: its place and direction."""

    kind: str
    rgb: RGB
    other: RGB
    seed: int = 0

    @property
    def name(self) -> str | None:
        """'grass'; None where people would not name it."""
        return self.kind if self.kind in NAMED else None


def ground_for(rng: Random, rims: Sequence[RGB] = (), *, named: float = 0.3) -> Ground:
    """A ground that things with these outer colours stand out from; `named`: how likely one with a name is."""
    tries = [_any(rng, named) for _ in range(8 if rims else 1)]
    return next(
        (item for item in tries if contrast(item, rims) > 85), max(tries, key=lambda item: contrast(item, rims))
    )


def contrast(ground: Ground, rims: Sequence[RGB]) -> float:
    """Least distance in RGB between the ground's colours and the things' outer ones."""
    return min((_distance(rgb, rim) for rim in rims for rgb in (ground.rgb, ground.other)), default=255.0)


def paint(ground: Ground, width: int, height: int) -> Image.Image:
    """The ground as an RGB image."""
    rng = Random(ground.seed)
    if ground.kind in NAMED:
        tile = _tile(ground.kind, rng.randrange(_VARIANTS))
        picture = _cut(rng, tile, width, height)
        return ImageEnhance.Brightness(picture).enhance(rng.uniform(0.88, 1.08))
    picture = Image.new("RGB", (width, height), ground.rgb)
    if ground.kind == "plain":
        return picture
    if ground.kind == "grain":
        return ImageChops.add(picture, _cut(rng, _grain(), width, height), 1, -_GRAIN_MIDDLE)
    picture.paste(ground.other, (0, 0), _mask(rng, ground.kind, width, height))
    return picture


def worn(rng: Random, image: Image.Image) -> Image.Image:
    """The image as it is, or as files often are: compressed (one in six)."""
    if rng.random() > 1 / 6:
        return image
    file = io.BytesIO()
    image.save(file, "JPEG", quality=rng.randint(45, 90))
    return Image.open(file).convert("RGB")


def weathered(rng: Random, picture: Image.Image, smallest: int) -> Image.Image:
    """The image a little blurred, grainy or compressed; type of `smallest` pixels stays readable."""
    if smallest >= 18 and rng.random() < 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, smallest / 28)))
    if rng.random() < 0.3:
        spread = rng.uniform(3, 6 + smallest / 3)
        generator = np.random.default_rng(rng.getrandbits(64))
        grain = generator.standard_normal((picture.height, picture.width, 1), dtype=np.float32) * np.float32(spread)
        picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
    return worn(rng, picture)


def _any(rng: Random, named: float) -> Ground:
    seed = rng.getrandbits(32)
    if rng.random() < named:
        kind = rng.choice(tuple(NAMED))
        return Ground(kind, _MEANS[kind], _MEANS[kind], seed)
    kind = rng.choice(_NAMELESS)
    # half of all grounds are pale, as pages and walls are; the others have any colour
    low, high = (190, 255) if rng.random() < 0.5 else (0, 255)
    red, green, blue = (rng.randint(low, high) for _ in range(3))
    far = 70 if kind == "fading" else 28
    other = tuple(min(255, max(0, channel + rng.randint(-far, far))) for channel in (red, green, blue))
    return Ground(kind, (red, green, blue), (other[0], other[1], other[2]), seed)


def _distance(a: RGB, b: RGB) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5


def _cut(rng: Random, tile: Image.Image, width: int, height: int) -> Image.Image:
    """A piece of a tile; larger images than it are filled by its mirror images, so that no seam shows."""
    if width > tile.width or height > tile.height:
        double = Image.new("RGB", (2 * tile.width, 2 * tile.height))
        for column in (0, 1):
            for row in (0, 1):
                part = tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if column else tile
                part = part.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if row else part
                double.paste(part, (column * tile.width, row * tile.height))
        tile = double
    x, y = rng.randint(0, tile.width - width), rng.randint(0, tile.height - height)
    return tile.crop((x, y, x + width, y + height))


def _mask(rng: Random, kind: str, width: int, height: int) -> Image.Image:
    """How much of the second colour is where, an "L" image."""
    if kind == "fading":
        ramp = Image.linear_gradient("L")
        return ramp.rotate(rng.choice((0, 90, 180, 270))).resize((width, height))
    if kind == "clouds":
        coarse = Image.frombytes("L", (8, 8), rng.randbytes(64))
        return coarse.resize((width, height), Image.Resampling.BICUBIC)
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    step = rng.randint(10, 48)
    if kind == "stripes":
        upright = rng.random() < 0.5
        for start in range(0, width if upright else height, 2 * step):
            end = start + step - 1
            pen.rectangle((start, 0, end, height) if upright else (0, start, width, end), fill=255)
        return mask
    for row, y in enumerate(range(0, height, step)):
        for x in range((row % 2) * step, width, 2 * step):
            if kind == "checks":
                pen.rectangle((x, y, x + step - 1, y + step - 1), fill=255)
            else:
                pen.ellipse((x + step * 0.3, y + step * 0.3, x + step * 0.7, y + step * 0.7), fill=255)
    return mask


_GRAIN_MIDDLE = 30


@lru_cache(maxsize=1)
def _grain() -> Image.Image:
    grains = np.random.default_rng(0).normal(_GRAIN_MIDDLE, 9, (_TILE, _TILE, 3))
    return Image.fromarray(grains.clip(0, 2 * _GRAIN_MIDDLE).astype(np.uint8))


@lru_cache(maxsize=len(NAMED) * _VARIANTS)
def _tile(kind: str, variant: int) -> Image.Image:
    generator = np.random.default_rng([variant, *kind.encode()])
    pixels = _TILES[kind](generator) + np.array(_MEANS[kind], dtype=np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _smooth(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Noise of this many bumps, about -1..1, (tile, tile, 1)."""
    coarse = Image.fromarray(generator.normal(0, 0.5, (rows, columns)).astype(np.float32), "F")
    return np.asarray(coarse.resize((_TILE, _TILE), Image.Resampling.BICUBIC))[..., None]


def _grass(generator: np.random.Generator) -> np.ndarray:
    blades = _smooth(generator, 64, 256) * 34 + _smooth(generator, 24, 170) * 24 + _smooth(generator, 6, 6) * 14
    return blades * np.array([0.9, 1.0, 0.6])


def _sand(generator: np.random.Generator) -> np.ndarray:
    return _smooth(generator, 256, 256) * 16 + _smooth(generator, 20, 5) * 12 * np.array([1.0, 1.0, 1.2])


def _snow(generator: np.random.Generator) -> np.ndarray:
    return _smooth(generator, 7, 5) * 14 * np.array([1.2, 1.0, 0.5]) + _smooth(generator, 256, 256) * 5


def _water(generator: np.random.Generator) -> np.ndarray:
    waves = _smooth(generator, 60, 14) * 26 + _smooth(generator, 24, 6) * 24
    return waves * np.array([1.0, 0.8, 0.5])


def _wood(generator: np.random.Generator) -> np.ndarray:
    rows = np.arange(_TILE)
    board = rows // 64
    shade = generator.normal(0, 9, _TILE // 64)[board]
    gap = np.where(rows % 64 < 2, -55, 0)
    grain = _smooth(generator, 200, 6) * 16 + _smooth(generator, 90, 3) * 12
    return (grain + (shade + gap)[:, None, None]) * np.array([1.0, 0.85, 0.65])


def _bricks(generator: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:_TILE, :_TILE]
    row = rows // 32
    shifted = (columns + (row % 2) * 32) % _TILE
    shade = generator.normal(0, 13, (_TILE // 32, _TILE // 64))[row, shifted // 64][..., None]
    mortar = ((rows % 32 < 3) | (shifted % 64 < 3))[..., None]
    body = shade + _smooth(generator, 170, 170) * 14
    return np.where(mortar, np.array([30.0, 96.0, 106.0]) + _smooth(generator, 200, 200) * 8, body)


def _stars(generator: np.random.Generator) -> np.ndarray:
    sky = _smooth(generator, 4, 4) * 14 * np.array([0.7, 0.7, 1.3])
    sky = sky + np.zeros((_TILE, _TILE, 3))
    for x, y, size in generator.integers([2, 2, 1], [_TILE - 2, _TILE - 2, 3], (240, 3)):
        sky[y : y + size, x : x + size] += generator.uniform(90, 230)
    return sky


_TILES = {
    "grass": _grass, "sand": _sand, "snow": _snow, "water": _water, "wood": _wood, "bricks": _bricks, "stars": _stars,
}  # fmt: skip

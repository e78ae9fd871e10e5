"""Scenes and glyphs as images, fast: every outline is drawn once, smoothed, and pasted in its colour."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

from pixelword.synthetic.scenes import RGB, Background, Scene

_FINE = 4  # outlines are drawn this much larger, then shrunk
Outline = list[tuple[float, float]]
FONTS = ("regular", "bold", "pixel")


def render(scene: Scene) -> Image.Image:
    """The scene as an RGB image of (width, height)."""
    picture = paint_background(scene.background, scene.width, scene.height)
    for thing in scene.things:
        picture.paste(thing.rgb, (thing.x, thing.y), outline_mask(thing.shape, thing.size))
    return picture


def paint_background(background: Background, width: int, height: int) -> Image.Image:
    """A plain, fading or noisy ground, RGB."""
    picture = Image.new("RGB", (width, height), background.start)
    if background.end != background.start:
        picture.paste(background.end, (0, 0), _ramp(width, height, background.downwards))
    if background.noise is not None:
        x, y = background.noise
        picture = ImageChops.add(picture, _noise().crop((x, y, x + width, y + height)), 1, -_NOISE_MIDDLE)
    return picture


@lru_cache(maxsize=4096)
def outline_mask(shape: str, size: int) -> Image.Image:
    """The shape filling a (size, size) square: an "L" mask with smooth edges."""
    side = size * _FINE
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    if shape in ("circle", "ring"):
        pen.ellipse((0, 0, side - 1, side - 1), fill=255)
        if shape == "ring":
            inner = side * 0.25
            pen.ellipse((inner, inner, side - 1 - inner, side - 1 - inner), fill=0)
    else:
        pen.polygon([(x * (side - 1), y * (side - 1)) for x, y in _OUTLINES[shape]], fill=255)
    return mask.reduce(_FINE)


@lru_cache(maxsize=4096)
def glyph_mask(character: str, height: int, font: str) -> Image.Image:
    """The character cropped to its ink sideways, digits and capitals about ``height`` pixels high: an "L" mask."""
    if font == "pixel":
        small = ImageFont.load_default_imagefont()
        mask = Image.new("L", (16, 16))
        ImageDraw.Draw(mask).text((2, 2), character, fill=255, font=small)
        mask = mask.crop(mask.getbbox())
        return mask.resize((max(3, round(mask.width * height / mask.height)), height), Image.Resampling.NEAREST)
    large = ImageFont.load_default(size=height * 1.38)  # capitals are 0.72 of the size
    mask = Image.new("L", (height * 3, height * 3))
    stroke = max(1, height // 18) if font == "bold" else 0
    ImageDraw.Draw(mask).text((height, height // 2), character, fill=255, font=large, stroke_width=stroke)
    return mask.crop(mask.getbbox())


def write(picture: Image.Image, text: str, *, x: int, y: int, height: int, rgb: RGB, font: str) -> None:
    """Paste the text, upper left corner at (x, y)."""
    for character in text:
        mask = glyph_mask(character, height, font)
        picture.paste(rgb, (x, y), mask)
        x += mask.width + _gap(height)


def text_width(text: str, height: int, font: str) -> int:
    """Pixels that ``write`` needs sideways."""
    return sum(glyph_mask(character, height, font).width for character in text) + _gap(height) * (len(text) - 1)


def _gap(height: int) -> int:
    return max(2, height // 7)


@lru_cache(maxsize=64)
def _ramp(width: int, height: int, downwards: bool) -> Image.Image:
    ramp = Image.linear_gradient("L")  # black at the top, white at the bottom
    return (ramp if downwards else ramp.transpose(Image.Transpose.ROTATE_90)).resize((width, height))


_NOISE_MIDDLE = 24


@lru_cache(maxsize=1)
def _noise() -> Image.Image:
    grains = np.random.default_rng(0).normal(_NOISE_MIDDLE, 8, (256, 256, 3))
    sheet = grains.clip(0, 2 * _NOISE_MIDDLE).astype(np.uint8)
    return Image.fromarray(np.tile(sheet, (4, 4, 1)))  # large enough for any image at any place of the first sheet


def _star() -> Outline:
    corners = []
    for corner in range(10):
        angle, radius = math.pi * corner / 5, 0.53 if corner % 2 == 0 else 0.22
        corners.append((0.5 + radius * math.sin(angle), 0.53 - radius * math.cos(angle)))
    return corners


def _heart() -> Outline:
    corners = []
    for step in range(48):
        t = 2 * math.pi * step / 48
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        corners.append((0.5 + 0.5 * math.sin(t) ** 3, (12.0 - y) / 29.0))
    return corners


_ARM = (0.33, 0.67)  # a cross's arms are between these
_OUTLINES: dict[str, Outline] = {
    "square": [(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)],
    "triangle": [(0.5, 0.04), (1.0, 0.94), (0.0, 0.94)],
    "diamond": [(0.5, 0.0), (0.86, 0.5), (0.5, 1.0), (0.14, 0.5)],
    "star": _star(),
    "heart": _heart(),
    "cross": [
        (_ARM[0], 0.0), (_ARM[1], 0.0), (_ARM[1], _ARM[0]), (1.0, _ARM[0]), (1.0, _ARM[1]), (_ARM[1], _ARM[1]),
        (_ARM[1], 1.0), (_ARM[0], 1.0), (_ARM[0], _ARM[1]), (0.0, _ARM[1]), (0.0, _ARM[0]), (_ARM[0], _ARM[0]),
    ],
}  # fmt: skip

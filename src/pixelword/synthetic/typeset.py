"""Text drawn with the pack's fonts, and where each of its words is: to the pixel, also after a change of view.

face = draw_face(rng, assets, split)
strip = set_line(face.cased("Read me"), face.font(24))    # a mask, and its words with boxes
view = tilt(rng, strip.mask.size, strength=0.1)           # a wall seen from the side; or None, not to
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack, Assets, fetch_command
from pixelword.synthetic.types import Box, Split


@dataclass(frozen=True)
class Face:
    """A cut of a font. key: its family; caps: whether its small letters look like capitals."""

    key: str
    file: str
    caps: bool
    pack: AssetPack

    @property
    def asset(self) -> str:
        return f"{self.pack.name}:{self.key}"

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """The font at `size` pixels; larger where its letters are small or narrow. Do not change it: it is shared."""
        return _font(self.pack, self.file, round(size * _optical(self.pack, self.file)))

    def cased(self, text: str) -> str:
        """The text as it can be read back: in capitals where one cannot tell."""
        return text.upper() if self.caps else text


@dataclass(frozen=True)
class Word:
    """A word and the box of its ink."""

    text: str
    box: Box


@dataclass(frozen=True)
class Strip:
    """A line of text. mask: "L", 255 where ink is; words: in order, boxes relative to `at`; at: its place (x, y)."""

    mask: Image.Image
    words: tuple[Word, ...]
    at: tuple[int, int] = (0, 0)

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def placed_words(self) -> tuple[Word, ...]:
        """The words with boxes relative to what the strip is placed in."""
        x, y = self.at
        return tuple(replace(word, box=moved(word.box, x, y)) for word in self.words)


def draw_face(rng: Random, assets: Assets, split: Split) -> Face:
    """A font of this split: the family first, so that one of many cuts is not seen more often. Raises AssetError."""
    families = _families(assets.pack("fonts"), split)
    return rng.choice(families[rng.choice(tuple(families))])


@lru_cache(maxsize=8)
def _families(pack: AssetPack, split: Split) -> dict[str, tuple[Face, ...]]:
    found: dict[str, tuple[Face, ...]] = {}
    for item in pack.of(split):
        face = Face(item["key"], item["file"], bool(item.get("caps")), pack)
        found[face.key] = (*found.get(face.key, ()), face)
    if not found:
        raise AssetError(f"{pack.path} has no fonts for {split!r}: delete it, then {fetch_command('fonts')}")
    return found


@lru_cache(maxsize=96)
def _font(pack: AssetPack, file: str, size: int) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(io.BytesIO(_bytes(pack, file)), size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise AssetError(
            f"{pack.path}: {file} is not a font; delete the pack, then {fetch_command('fonts')}"
        ) from error


@lru_cache(maxsize=512)
def _optical(pack: AssetPack, file: str) -> float:
    """By how much a font has to be set larger for its letters to be as large as others'."""
    font = _font(pack, file, 100)
    _, top, _, bottom = font.getbbox("x")
    advance = font.getlength("the quick brown fox") / 19
    return min(2.0, max(1.0, 46 / (bottom - top), 44 / advance))


@lru_cache(maxsize=160)
def _bytes(pack: AssetPack, file: str) -> bytes:
    return pack.read(file)


def set_line(text: str, font: ImageFont.FreeTypeFont) -> Strip:
    """A line as high as the font's ascent and descent (or its ink, where that reaches further), as wide as its ink."""
    ascent, descent = font.getmetrics()
    edge = ascent + descent  # room for swashes, which may leave the metrics
    mask = Image.new("L", (int(font.getlength(text)) + 2 * edge, 3 * edge))
    pen = ImageDraw.Draw(mask)
    x = float(edge)
    words: list[Word] = []
    for word in text.split():
        place = (round(x), edge + ascent)
        pen.text(place, word, fill=255, font=font, anchor="ls")
        # the font's own box has the room around letters too; right of the last word, all ink is this word's
        start = int(words[-1].box[2]) if words else 0
        ink = mask.crop((start, 0, *mask.size)).getbbox() or pen.textbbox(
            (place[0] - start, place[1]), word, font, "ls"
        )
        words.append(Word(word, moved((ink[0], ink[1], ink[2], ink[3]), start, 0)))
        x += font.getlength(word + " ")
    left, right = min(item.box[0] for item in words), max(item.box[2] for item in words)
    top, bottom = min(edge, *(item.box[1] for item in words)), max(2 * edge, *(item.box[3] for item in words))
    crop = (int(left), int(top), int(right), int(bottom))
    return Strip(mask.crop(crop), tuple(replace(item, box=moved(item.box, -crop[0], -crop[1])) for item in words))


@dataclass(frozen=True)
class View:
    """A plane seen from somewhere: its corners (top left, top right, bottom right, bottom left) in an image `size`."""

    plane: tuple[int, int]
    corners: tuple[tuple[float, float], ...]
    size: tuple[int, int]

    def of(self, layer: Image.Image) -> Image.Image:
        """The plane's pixels (RGBA) as the image shows them."""
        numbers = tuple(_projection(self.corners, _rectangle(self.plane)).ravel()[:8])
        return layer.transform(self.size, Image.Transform.PERSPECTIVE, numbers, Image.Resampling.BICUBIC)

    def box(self, box: Box) -> Box:
        """The box around a box of the plane as the image shows it."""
        x1, y1, x2, y2 = box
        points = np.array([(x1, y1, 1.0), (x2, y1, 1.0), (x2, y2, 1.0), (x1, y2, 1.0)])
        seen = points @ _projection(_rectangle(self.plane), self.corners).T
        places = seen[:, :2] / seen[:, 2:]
        (left, top), (right, bottom) = places.min(0), places.max(0)
        return float(left), float(top), float(right), float(bottom)


def tilt(rng: Random, plane: tuple[int, int], strength: float) -> View:
    """The plane with each corner off by up to `strength` of its shorter side, and a little turned."""
    width, height = plane
    reach = strength * min(width, height)
    angle = rng.uniform(-0.6, 0.6) * strength
    turned = []
    for x, y in _rectangle(plane):
        across, down = x - width / 2, y - height / 2
        turned.append(
            (across - angle * down + rng.uniform(-reach, reach), down + angle * across + rng.uniform(0, reach))
        )
    left, top = min(x for x, _ in turned), min(y for _, y in turned)
    right, bottom = max(x for x, _ in turned), max(y for _, y in turned)
    size = (int(right - left) + 2, int(bottom - top) + 2)
    return View(plane, tuple((x - left, y - top) for x, y in turned), size)


def _rectangle(size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    width, height = size
    return (0.0, 0.0), (float(width), 0.0), (float(width), float(height)), (0.0, float(height))


def _projection(start: Sequence[tuple[float, float]], end: Sequence[tuple[float, float]]) -> np.ndarray:
    """The homography, (3, 3), that takes four points to four others."""
    rows, values = [], []
    for (x, y), (u, v) in zip(start, end, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def moved(box: Box, x: float, y: float) -> Box:
    """A box that many pixels further to the right and down."""
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y

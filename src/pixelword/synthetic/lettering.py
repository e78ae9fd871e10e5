"""Text as images: a few words in one font on a ground that contrasts with them, with the box of each word.

Held out: tests draw with three fonts of this package, whose families the pack `fonts` keeps for its test split too;
training draws with the families of the pack's training split.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from random import Random

from PIL import Image, ImageFilter, ImageFont

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.drawing import paint_background
from pixelword.synthetic.scenes import COLOURS, Split, background_for, jitter
from pixelword.synthetic.types import Box
from pixelword.synthetic.typeset import Strip, Word, draw_face, moved, set_line, tilt

FONTS = ("Caladea-Regular.ttf", "RobotoSlab-Regular.otf", "Cantarell-Bold.otf")
_TOKEN = 32  # pixels that a visual token covers, each way
_CONTRAST = 130.0  # least distance in RGB of ink and ground; thin strokes need more of it than shapes
_LARGE, _SMALL = 46, 30  # usual and least size of type in pixels: at 46 a letter is about as wide as a visual token


@dataclass(frozen=True)
class Sign:
    """An image of words. texts: as they can be read back; boxes: of their ink, in pixels; colour: of the ink."""

    image: Image.Image
    texts: tuple[str, ...]
    boxes: tuple[Box, ...]
    colour: str


def draw_sign(rng: Random, lines: Sequence[str], level: float, split: Split, assets: Assets) -> Sign:
    """The lines below one another, large on a quiet ground at level 0; smaller, placed freely and worn at level 1.

    Raises AssetError: training draws with fonts of the pack `fonts`, which is missing.
    """
    size = round(rng.uniform(_LARGE - (_LARGE - _SMALL) * level, _LARGE + 6))
    strips = _strips(rng, lines, size, split, assets)
    gap = size // 4
    width = max(strip.mask.width for strip in strips)
    height = sum(strip.mask.height for strip in strips) + gap * (len(strips) - 1)
    ink, words = Image.new("L", (width, height)), []
    y = 0
    for strip in strips:
        x = rng.randint(0, round((width - strip.mask.width) * level))
        ink.paste(strip.mask, (x, y))
        words += [Word(word.text, moved(word.box, x, y)) for word in strip.words]
        y += strip.mask.height + gap
    box = ink.getbbox() or (0, 0, width, height)  # without the room that a font keeps above and below its letters
    return _placed(rng, ink.crop(box), [Word(word.text, moved(word.box, -box[0], -box[1])) for word in words], level)


def scatter(rng: Random, texts: Sequence[str], level: float, split: Split, assets: Assets) -> Sign:
    """The words at places of their own, none overlapping, on a ground of 128 x 128 to 256 x 192 pixels."""
    size = round(rng.uniform(_LARGE - 10 - 10 * level, _LARGE - 6))
    strips = _strips(rng, texts, size, split, assets)
    widest, lines = max(strip.mask.width for strip in strips), sum(strip.mask.height for strip in strips)
    width = _tokens(max(128, widest + rng.randint(8, 64)))
    height = _tokens(max(96, lines + rng.randint(8, 64)))
    ink, words = Image.new("L", (width, height)), []
    spare = height - lines
    y = 0
    for strip in strips:
        down = rng.randint(0, spare)
        spare -= down
        x, y = rng.randint(0, width - strip.mask.width), y + down
        ink.paste(strip.mask, (x, y))
        box = strip.mask.getbbox() or (0, 0, *strip.mask.size)
        words.append(Word(strip.text, moved(box, x, y)))
        y += strip.mask.height
    return _painted(rng, ink, words, level)


def _strips(rng: Random, lines: Sequence[str], size: int, split: Split, assets: Assets) -> list[Strip]:
    """The lines as masks, in one font; in capitals where the font's small letters look like them."""
    if split == "test":
        font = _packaged(rng.choice(FONTS), size)
        return [set_line(line, font) for line in lines]
    face = draw_face(rng, assets, split)
    return [set_line(face.cased(line), face.font(size)) for line in lines]


def _placed(rng: Random, ink: Image.Image, words: list[Word], level: float) -> Sign:
    """On a canvas that fits closely at level 0, with room to either side and now and then tilted at level 1."""
    if rng.random() < 0.3 * level:
        view = tilt(rng, ink.size, 0.12 * level)
        ink = view.of(ink.convert("RGBA")).getchannel("R")
        words = [Word(word.text, view.box(word.box)) for word in words]
    room = round(_TOKEN * level) if rng.random() < 0.5 else 0
    width, height = (_tokens(side + 4 + rng.randint(0, room)) for side in ink.size)
    width, height = max(64, width), max(64, height)
    x, y = (rng.randint(2, max(2, total - side - 2)) for total, side in ((width, ink.width), (height, ink.height)))
    canvas = Image.new("L", (width, height))
    canvas.paste(ink, (x, y))
    return _painted(rng, canvas, [Word(word.text, moved(word.box, x, y)) for word in words], level)


def _painted(rng: Random, ink: Image.Image, words: list[Word], level: float) -> Sign:
    colour = rng.choice(tuple(COLOURS))
    image = paint_background(background_for(rng, (colour,), level, contrast=_CONTRAST), *ink.size)
    image.paste(jitter(rng, COLOURS[colour], 4 + round(8 * level)), (0, 0), ink)
    if rng.random() < 0.15 * level:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    return Sign(image, tuple(word.text for word in words), tuple(word.box for word in words), colour)


def _tokens(side: int) -> int:
    """The side rounded up to whole visual tokens."""
    return -(-side // _TOKEN) * _TOKEN


@lru_cache(maxsize=96)
def _packaged(file: str, size: int) -> ImageFont.FreeTypeFont:
    stored = io.BytesIO(files("pixelword.synthetic").joinpath("fonts", file).read_bytes())
    return ImageFont.truetype(stored, size, layout_engine=ImageFont.Layout.BASIC)

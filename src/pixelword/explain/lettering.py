"""Draws text on images, in any suitable font on this machine."""

from __future__ import annotations

from bisect import bisect_right
from functools import cache

from PIL import ImageDraw, ImageFont

#: Tried in this order, where the system keeps its fonts; the last ones for the characters that the first lack.
_FILES = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf",
    "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc", "Arial Unicode.ttf",
)  # fmt: skip
#: Of a line, for a font of size 1.
LEADING = 1.4


def write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, colour: str) -> None:
    """Draw one line; `place` is its upper left corner."""
    font, text = font_for(text, size)
    draw.text((place[0], place[1] + size), text, fill=colour, font=font, anchor="ls")


def width(text: str, size: int) -> float:
    """Return the width of one line, in pixels."""
    font, text = font_for(text, size)
    return font.getlength(text)


def wrapped(text: str, size: int, most: float, lines: int) -> list[str]:
    """Wrap a text to lines of at most `most` pixels, preferably between words; truncated text ends in "…"."""
    text, found = " ".join(text.split()), list[str]()
    while text and len(found) < lines:
        end = _fitting(text, size, most)
        if end < len(text):
            end = text.rfind(" ", 1, end + 1) if " " in text[1 : end + 1] else end
        if end < len(text) and len(found) + 1 == lines:
            return [*found, text[: _fitting(text, size, most - width("…", size))].rstrip() + "…"]
        found.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return found


def _fitting(text: str, size: int, most: float) -> int:
    """Return how many leading characters fit, at least one."""
    return max(1, bisect_right(range(len(text) + 1), most, key=lambda end: width(text[:end], size)) - 1)


def font_for(text: str, size: int) -> tuple[ImageFont.FreeTypeFont, str]:
    """Return the first font with all characters of the text, else the first font, with missing characters as codes."""
    needed = frozenset("".join(text.split()))
    for font in _fonts(size):
        if all(_has(font, item) for item in needed):
            return font, text
    font = _fonts(size)[0]
    return font, "".join(item if item.isspace() or _has(font, item) else _numbered(item) for item in text)


def _numbered(character: str) -> str:
    return "x" if character == "×" else character.encode("ascii", "backslashreplace").decode()


@cache
def _fonts(size: int) -> tuple[ImageFont.FreeTypeFont, ...]:
    """Return the installed fonts of the list, and Pillow's built-in one, which covers English."""
    found: list[ImageFont.FreeTypeFont] = []
    for name in _FILES:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:  # not on this machine
            continue
    own = ImageFont.load_default(size)
    assert isinstance(own, ImageFont.FreeTypeFont)  # of any size, so it is not the bitmap
    return (*found, own)


@cache
def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    return writes(font, character)


def writes(font: ImageFont.FreeTypeFont, characters: str) -> bool:
    """Whether every character has a glyph of its own, and not the box that stands for a missing one."""
    missing = bytes(font.getmask("\uffff"))
    drawn = [bytes(font.getmask(character)) for character in characters]
    return all(any(item) and item != missing for item in drawn)

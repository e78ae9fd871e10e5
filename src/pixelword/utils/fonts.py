"""What a font can write, and the family that it belongs to."""

from __future__ import annotations

import string

from PIL import ImageFont

#: What a font for English text must be able to write.
NEEDED = string.ascii_letters + string.digits + ".,:;!?'\"()-+=/%$&@#*"
_CUT_WORDS = {"black", "bold", "oblique", "semibold", "ultrabold", "light", "medium", "display", "italic", "sc"}


def family(name: str) -> str:
    """The family that a font's own name belongs to: "Walkway Oblique Bold" is a Walkway."""
    while (shorter := name.rpartition(" ")) and shorter[0] and shorter[2].lower() in _CUT_WORDS:
        name = shorter[0]
    return name


def writes_english(font: ImageFont.FreeTypeFont) -> bool:
    """Whether it has every character that is needed."""
    return writes(font, NEEDED)


def writes(font: ImageFont.FreeTypeFont, characters: str) -> bool:
    """Whether every character has a glyph of its own, and not the box that stands for a missing one."""
    missing = bytes(font.getmask("\uffff"))
    drawn = [bytes(font.getmask(character)) for character in characters]
    return all(any(item) and item != missing for item in drawn)


def all_capitals(font: ImageFont.FreeTypeFont) -> bool:
    """Whether small letters are capitals, larger or smaller: then none of them hangs below the line."""
    height = -font.getbbox("H", anchor="ls")[1]
    return all(font.getbbox(letter, anchor="ls")[3] < 0.1 * height for letter in "gpy")

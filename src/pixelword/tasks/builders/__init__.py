"""From packages to packs: which pack is made of which packages, and how.

A builder takes the archives it names and gives items with their files. A pack of several parts is made of those whose
packages are there; what is missing is said.
"""

from __future__ import annotations

from pixelword.tasks.builders import emoji, fonts, tables, words
from pixelword.tasks.builders.part import Made, Part

#: Name of a pack -> the parts it is put together from, in order. A change of `VERSION` makes all packs anew.
PACKS: dict[str, tuple[Part, ...]] = {
    "emoji": emoji.EMOJI,
    "fonts": fonts.FONTS,
    "words": words.WORDS,
    "tables": tables.TABLES,
}

__all__ = ["PACKS", "Made", "Part"]

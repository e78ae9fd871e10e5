"""From packages to packs: which pack is made of which packages, and how.

A builder takes the archives it names and gives items with their files. A pack of several parts is made of those whose
packages are there; what is missing is reported.
"""

from __future__ import annotations

from pixelword_lab.builders import dialogs, drawings, emoji, fonts, furniture, real, stamps, tables, words
from pixelword_lab.builders.part import Made, Part

#: Name of a pack -> the parts it is put together from, in order.
PACKS: dict[str, tuple[Part, ...]] = {
    "emoji": emoji.EMOJI,
    "openmoji": emoji.OPENMOJI,
    "stamps": stamps.STAMPS,
    "clipart": drawings.CLIPART,
    "flags": drawings.FLAGS,
    "sprites": stamps.SPRITES,
    "fonts": fonts.FONTS,
    "words": words.WORDS,
    "tables": tables.TABLES,
    "furniture": furniture.FURNITURE,
    "easyvqa": real.EASYVQA,
    "digits": real.DIGITS,
    "mnist": real.MNIST,
    "photos": real.PHOTOS,
    "clips": real.CLIPS,
    "dialogs": dialogs.DIALOGS,
}

__all__ = ["PACKS", "Made", "Part"]

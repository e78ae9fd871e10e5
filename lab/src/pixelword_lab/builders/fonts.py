"""The pack `fonts`: fonts that can write English, by family, since the cuts of one family look alike."""

from __future__ import annotations

import io
import string
from functools import partial

from PIL import ImageFont

from pixelword.explain.lettering import writes
from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.part import Made, Part

#: The cuts that are taken: a family of eighteen would be seen eighteen times as often.
CUTS = (
    "Regular", "Book", "Roman", "Medium", "Bold", "Italic", "Oblique", "Bold Italic", "BoldItalic", "Bold Oblique",
    "Light", "Black", "SemiBold", "Semibold", "Heavy", "UltraBold",
)  # fmt: skip
#: Symbols, and outlines so thin or torn that people cannot read them at 16 pixels.
_LEFT_OUT = ("symbol", "Capture", "Tusj", "Emoji", "Hairline", "Mathematical")
#: What a font for English text must be able to write.
_NEEDED = string.ascii_letters + string.digits + ".,:;!?'\"()-+=/%$&@#*"
_CUT_WORDS = {"black", "bold", "oblique", "semibold", "ultrabold", "light", "medium", "display", "italic", "sc"}


def family(name: str) -> str:
    """The family that a font's own name belongs to: "Walkway Oblique Bold" is a Walkway."""
    while (shorter := name.rpartition(" ")) and shorter[0] and shorter[2].lower() in _CUT_WORDS:
        name = shorter[0]
    return name


def writes_english(font: ImageFont.FreeTypeFont) -> bool:
    """Whether it has every character that is needed."""
    return writes(font, _NEEDED)


def all_capitals(font: ImageFont.FreeTypeFont) -> bool:
    """Whether small letters are capitals, larger or smaller: then none of them hangs below the line."""
    height = -font.getbbox("H", anchor="ls")[1]
    return all(font.getbbox(letter, anchor="ls")[3] < 0.1 * height for letter in "gpy")


def fonts(archive: Archive, folder: str = "") -> Made:
    """Items: key (family), style, file, and `caps`: whether small letters look like capitals."""
    for name, content in archive.members(
        lambda name: name.startswith(folder) and name.lower().endswith((".ttf", ".otf"))
    ):
        file = f"{archive.name}/{name.rpartition('/')[2]}"
        if any(word.lower() in file.lower() for word in _LEFT_OUT):
            continue
        try:
            font = ImageFont.truetype(io.BytesIO(content), 32)
        except OSError:  # not a font that FreeType knows
            continue
        name, style = (part or "Regular" for part in font.getname())
        if style in CUTS and writes_english(font):
            yield {"key": family(name), "style": style, "file": file, "caps": all_capitals(font)}, {file: content}


#: Debian's, each of a family that trdg lacks.
DEBIAN = (
    "fonts-dejavu-core", "fonts-liberation2", "fonts-comic-neue", "fonts-inconsolata", "fonts-courier-prime",
    "fonts-lobstertwo", "fonts-dancingscript", "fonts-vollkorn", "fonts-quattrocento", "fonts-cabin",
    "fonts-oldstandard", "fonts-crosextra-carlito", "fonts-crosextra-caladea", "fonts-play", "fonts-karla",
    "fonts-hack-ttf",
    "fonts-arapey", "fonts-averia-sans-gwf", "fonts-averia-serif-gwf", "fonts-b612", "fonts-cantarell",
    "fonts-comfortaa", "fonts-dosis", "fonts-goudybookletter", "fonts-junction", "fonts-kaushanscript",
    "fonts-leckerli-one", "fonts-league-spartan", "fonts-lindenhill", "fonts-manrope", "fonts-monofur",
    "fonts-mononoki", "fonts-okolaks", "fonts-oxygen", "fonts-prociono", "fonts-quicksand", "fonts-roboto-slab",
    "fonts-rufscript", "fonts-yanone-kaffeesatz", "fonts-adf-baskervald",
)  # fmt: skip

FONTS = (
    Part(("trdg",), partial(fonts, folder="trdg/fonts/latin/"), version=2),
    *(Part((name,), fonts, version=2) for name in DEBIAN),
)

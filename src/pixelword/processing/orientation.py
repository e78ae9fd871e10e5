"""Image orientation, parsed leniently: broken metadata elsewhere does not matter."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image

ORIENTATION = 0x0112

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = (5, 6, 7, 8)

_TYPES = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT (as the standard says), LONG
# Size, layout, compression, palette, sample format, tiles, JPEG tables, YCbCr.
_PIXEL_TAGS = frozenset(
    (254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325)
).union((332, 338, 339, 340, 341, 347, 512, 513, 514, 529, 530, 531, 532))
_XMP = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])")
_XMP_KEYS = ("xmp", "XML:com.adobe.xmp")
_RAW_PROFILE = "Raw profile type exif"  # ImageMagick's text chunk in PNG: EXIF in hexadecimal
#: Keys of an image's `info` that may hold an orientation.
ORIENTED_BY = ("orientation", "exif", *_XMP_KEYS, _RAW_PROFILE)


def orientation_of(info: Mapping[Any, Any]) -> int:
    """Return the EXIF orientation (1..8) in an image's `info`; 1 if missing or unreadable."""
    exif = info.get("exif")
    if not isinstance(exif, bytes) and _RAW_PROFILE in info:
        exif = _from_hexadecimal(info[_RAW_PROFILE])
    found = exif_orientation(exif) if isinstance(exif, bytes) else None
    if found is None:
        found = next((xmp_orientation(info[key]) for key in _XMP_KEYS if key in info), None)
    return found or 1


def exif_orientation(exif: bytes) -> int | None:
    """Return the orientation in an EXIF block, or None."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", block, place)
            if tag == ORIENTATION:
                (value,) = struct.unpack_from(order + _TYPES.get(kind, "H"), block, place + 8)
                return value if value in (1, *TURNS) else None
    except struct.error:  # the block ends within its directory
        pass
    return None


def xmp_orientation(xmp: bytes | str) -> int | None:
    """Return the orientation in an XMP packet, or None."""
    found = _XMP.search(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp))
    return int(found[1]) if found else None


def pixel_tags_alone(tiff: bytes) -> bytes:
    """Return a TIFF with all tags of its first directory blanked that the pixels do not need."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return tiff
    blanked = bytearray(tiff)
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            (tag,) = struct.unpack_from(order + "H", tiff, place)
            if tag not in _PIXEL_TAGS:
                struct.pack_into(order + "HIBBBB", blanked, place + 2, 1, 1, 0, 0, 0, 0)
    except struct.error:  # the file ends within its directory
        pass
    return bytes(blanked)


def _from_hexadecimal(profile: bytes | str) -> bytes | None:
    text = profile.decode("latin-1") if isinstance(profile, bytes) else profile
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None

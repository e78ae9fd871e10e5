"""Encoded images -> Pillow images. Pillow gets only what the pixels need; metadata is parsed here, leniently.

Broken or oversized metadata (EXIF, ICC profile, text, multi-image index) therefore never makes an image unreadable.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any, BinaryIO

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from pixelword.errors import MediaError
from pixelword.processing.decoding import decoding
from pixelword.processing.orientation import ORIENTATION, TURNS, orientation_of, pixel_tags_alone

# Formats that Pillow decodes by itself: no EPS or PDF (they start Ghostscript), no seldom used, seldom mended readers.
# TGA has no signature, so it is tried last.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "TGA")

#: How the names of files in these formats end.
SUFFIXES = (
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "mpo", "webp", "gif", "bmp", "dib", "tif", "tiff", "ppm", "pgm", "pbm",
    "pnm", "pfm", "avif", "avifs", "jp2", "j2k", "jpc", "jpf", "jpx", "j2c", "ico", "tga", "icb", "vda", "vst",
)  # fmt: skip

_PNG_START, _JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_LONGEST_TEXT = 1 << 20  # bytes of a PNG text chunk that are looked at for an orientation
_KEPT_SEGMENTS = (0xE0, 0xEE)  # of JPEG's application segments: JFIF, and Adobe's, which names the colour transform

# Formats that people take for readable ones, by (offset, bytes) of their signature.
_UNREAD = {
    "HEIC": ((4, b"ftypheic"), (4, b"ftypheix"), (4, b"ftyphevc"), (4, b"ftypmif1"), (4, b"ftypmsf1")),
    "JPEG XL": ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL ")),
    "PDF": ((0, b"%PDF"),),
    "SVG": ((0, b"<svg"), (0, b"<?xml")),
    "PSD": ((0, b"8BPS"),),
}


def open_picture(file: BinaryIO, name: str) -> Image.Image:
    """Open an image file, reading only its header; see `orientation` for how to rotate it.

    Raises `MediaError`.
    """
    with decoding(name, "image"):
        file.seek(0)
        head = file.read(32)
        for format in _formats():
            factory, accept = Image.OPEN[format]
            found = accept is not None and accept(head)
            if found and not isinstance(found, str):  # a text says why Pillow cannot read it here
                return _opened(format, factory, file)
        try:
            return _opened("TGA", Image.OPEN["TGA"][0], file)
        except Exception as error:  # any bytes may be a TGA
            raise MediaError(_unknown(head, name)) from error


def _opened(format: str, factory: Any, file: BinaryIO) -> Image.Image:
    file.seek(0)
    if format == "PNG":
        return _open_png(file)
    if format == "JPEG":
        return _open_jpeg(file)
    if format == "TIFF":
        return _open_tiff(factory, file)
    if format == "AVIF":
        return _open_avif(factory, file)
    image: Image.Image = factory(file, "")
    return image


def _open_tiff(factory: Any, file: BinaryIO) -> Image.Image:
    """Open a TIFF; if its tags cannot be parsed, without those that do not affect the pixels."""
    try:
        image: Image.Image = factory(file, "")
    except Exception:
        file.seek(0)
        image = factory(io.BytesIO(pixel_tags_alone(file.read())), "")
    turn = TURNS.get(image.tag_v2.get(ORIENTATION))  # type: ignore[attr-defined]
    image.load_end = partial(_turn_decoded, image, turn)  # type: ignore[attr-defined]
    image.info["orientation"] = 1
    return image


def _turn_decoded(image: Image.Image, turn: Image.Transpose | None) -> None:
    """Do what Pillow does at the end of decoding a TIFF (its size is already upright), without rewriting tags."""
    if turn is not None:
        image.im = image.im.transpose(turn)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation (1..8) of an opened image."""
    return int(image.info.get("orientation") or orientation_of(image.info))


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Return the `FORMATS` that this build of Pillow supports and that have a signature."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN and name != "TGA")


def _unknown(head: bytes, name: str) -> str:
    for known, signatures in _UNREAD.items():
        if any(head[offset:].startswith(start) for offset, start in signatures):
            return f"{name}: {known} files are not read; convert it to PNG or JPEG"
    return f"{name}: not an image that can be read; give a PNG, JPEG, WebP, GIF, TIFF or BMP file"


class _Pieces(io.RawIOBase):
    """Pieces of an open file, concatenated, as a file. pieces: (offset, size) of each."""

    def __init__(self, file: BinaryIO, pieces: list[tuple[int, int]]) -> None:
        super().__init__()
        self.file, self.pieces, self.place = file, pieces, 0
        self.size = sum(size for _, size in pieces)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence], 0)
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: Any) -> int:
        skipped = self.place
        for offset, size in self.pieces:
            if skipped < size:
                self.file.seek(offset + skipped)
                data = self.file.read(min(len(buffer), size - skipped))
                buffer[: len(data)] = data
                self.place += len(data)
                return len(data)
            skipped -= size
        return 0


def _joined(file: BinaryIO, pieces: list[tuple[int, int]]) -> BinaryIO:
    merged: list[tuple[int, int]] = []
    for offset, size in pieces:
        if merged and sum(merged[-1]) == offset:
            merged[-1] = (merged[-1][0], merged[-1][1] + size)
        else:
            merged.append((offset, size))
    return io.BufferedReader(_Pieces(file, merged))


def _open_png(file: BinaryIO) -> Image.Image:
    """Return the chunks that determine the pixels: critical ones and transparency; the first image of an animation."""
    pieces = [(0, len(_PNG_START))]
    info: dict[str, Any] = {}
    for kind, start, size in _png_chunks(file):
        if not kind[0] & 0x20 or kind == b"tRNS":
            pieces.append((start - 8, size + 12))
        elif kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") and size <= _LONGEST_TEXT:
            file.seek(start)
            info.update(_png_text(kind, file.read(size)))
    image = PngImageFile(_joined(file, pieces))
    image.info["orientation"] = orientation_of(info)
    return image


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, data offset, size) of every chunk."""
    place = len(_PNG_START)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        yield kind, place + 8, size
        if kind == b"IEND":
            return
        place += size + 12


def _png_text(kind: bytes, data: bytes) -> dict[str, Any]:
    """Return the metadata of a chunk that may hold an orientation: EXIF, ImageMagick's text copy of it, or XMP."""
    if kind == b"eXIf":
        return {"exif": data}
    key, _, value = data.partition(b"\0")
    if key == b"Raw profile type exif":
        return {key.decode(): _inflated(value[1:]) if kind == b"zTXt" else value}
    if key == b"XML:com.adobe.xmp" and kind == b"iTXt":
        packed = value[:1] == b"\1"
        text = value[2:].split(b"\0", 2)[-1]
        return {key.decode(): _inflated(text) if packed else text}
    return {}


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _LONGEST_TEXT)
    except zlib.error:
        return b""


def _open_jpeg(file: BinaryIO) -> Image.Image:
    """Return the segments that determine the pixels; in a file of several images (MPO), those of the first."""
    pieces = [(0, len(_JPEG_START))]
    info: dict[str, Any] = {}
    place = len(_JPEG_START)
    while True:
        file.seek(place)
        head = file.read(4)
        marker, size = (head[1], int.from_bytes(head[2:4], "big")) if len(head) == 4 else (0, 0)
        is_metadata = (0xE0 <= marker <= 0xEF and marker not in _KEPT_SEGMENTS) or marker == 0xFE
        if head[:1] != b"\xff" or marker in (0x00, 0xDA, 0xFF) or size < 2:
            break  # the pixels start here, or what only the decoder understands
        if marker == 0xE1 and ("exif" not in info or "xmp" not in info):
            _read_app1(file.read(size - 2), info)
        if not is_metadata:
            pieces.append((place, size + 2))
        place += size + 2
    end = file.seek(0, io.SEEK_END)
    image = JpegImageFile(_joined(file, [*pieces, (place, max(end - place, 0))]))
    image.info["orientation"] = orientation_of(info)
    return image


def _read_app1(data: bytes, info: dict[str, Any]) -> None:
    if data.startswith(b"Exif\0\0"):
        info.setdefault("exif", data)
    elif data.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        info.setdefault("xmp", data)


def _open_avif(factory: Any, file: BinaryIO) -> Image.Image:
    """Open an AVIF with the decoder itself: Pillow rewrites EXIF on opening, and fails if it cannot."""
    try:
        image: Image.Image = factory(file, "")
    except Exception:
        from PIL import _avif

        file.seek(0)
        decoder = _avif.AvifDecoder(file.read(), "auto", 1)
        size, _, mode, *_, turned, _ = decoder.get_info()
        image = Image.frombytes(mode, size, decoder.get_frame(0)[0])
        image.info["orientation"] = turned
        image.format = "AVIF"
    return image

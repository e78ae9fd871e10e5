"""WebDataset tars, read in place: member offsets are found once, and nothing is unpacked.

Members whose names agree up to the first dot are one sample: `000017.jpg` and `000017.json`. Arrays of places: `first`
and `count` of the sample's members; of members (extra): `offset` and `size` in bytes, `name` in UTF-8.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pixelword.data.sources.places import Places, Row
from pixelword.errors import InputError
from pixelword.processing.image_files import SUFFIXES as PICTURES
from pixelword.processing.media_io import FilePiece
from pixelword.processing.video_file import SUFFIXES as VIDEOS


class WebDataset:
    """Samples in tars; a truncated archive has an extra broken place at its end."""

    pointers: tuple[str, ...] = ("first",)

    def scan(self, file: Path) -> Places:
        offsets: list[int] = []
        sizes: list[int] = []
        names: list[bytes] = []
        samples: dict[str, list[int]] = {}
        fault = ""
        length = file.stat().st_size
        try:
            with tarfile.open(file, "r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # else it remembers every one
                    if not member.isreg():
                        continue
                    if member.offset_data + member.size > length:
                        raise tarfile.ReadError("unexpected end of data")
                    key = split(member.name)[0]
                    samples.setdefault(key, []).append(len(names))
                    offsets.append(member.offset_data)
                    sizes.append(member.size)
                    names.append(member.name.encode("utf-8", "surrogateescape"))
                if not _ends(file, archive.offset):
                    fault = f"the archive is cut off after {length:,} bytes; get it again"
        except tarfile.TarError as error:
            fault = f"the archive cannot be read on from here ({error}); it is damaged or cut off: get it again"
        # members of one sample need not follow each other
        order = [member for members in samples.values() for member in members]
        firsts = np.cumsum([0, *map(len, samples.values())]).tolist()
        if not fault:
            firsts.pop()
        broken = {len(firsts) - 1: fault} if fault else {}
        counts = np.diff([*firsts, len(names)])
        members = {
            "offset": np.array(offsets, dtype=np.int64)[order],
            "size": np.array(sizes, dtype=np.int64)[order],
            "name": np.array(names, dtype=np.bytes_)[order] if names else np.zeros(0, "S1"),
        }
        return Places({"first": np.array(firsts, dtype=np.int64), "count": counts.astype(np.int64)}, broken, members)

    def row(self, file: Path, places: Places, i: int) -> Row:
        first, count = int(places.arrays["first"][i]), int(places.arrays["count"][i])
        values: dict[str, Any] = {}
        files: dict[str, FilePiece] = {}
        for member in range(first, first + count):
            name = _name(places, member)
            suffix = split(name)[1]
            piece = FilePiece(
                file, int(places.extra["offset"][member]), int(places.extra["size"][member]), f"{file}: {name}"
            )
            if suffix == "json":
                values.update(_object(piece))
            elif suffix == "txt":
                values.setdefault("text", _text(piece))
            else:
                files[name] = piece
        named = set(_texts(values))
        free = {name: piece for name, piece in files.items() if not {name, split(name)[1]} & named}
        for name in free:
            if _ending(name) not in (*PICTURES, *VIDEOS):
                raise InputError(
                    f"{name}: files that end in .{_ending(name)} are not read; convert it, or leave it out"
                )
        if not any(values.get(name) for name in ("image", "images", "video", "videos")):
            for media, endings in (("images", PICTURES), ("videos", VIDEOS)):
                if found := [piece for name, piece in free.items() if _ending(name) in endings]:
                    values[media] = found
        # a sample names its files with or without its key: "000017.left.jpg", or "left.jpg"
        return Row(values, files | {split(name)[1]: piece for name, piece in files.items()})

    def where(self, name: str, places: Places, i: int) -> str:
        first = int(places.arrays["first"][i])
        return f"{name}:{split(_name(places, first))[0]}" if places.arrays["count"][i] else f"{name}:end"


def split(name: str) -> tuple[str, str]:
    """Split a member name into (key, lower-case rest): "a/000017.left.JPG" -> ("a/000017", "left.jpg")."""
    folder, slash, base = name.rpartition("/")
    key, _, rest = base.partition(".")
    return folder + slash + key, rest.lower()


def _name(places: Places, member: int) -> str:
    return bytes(places.extra["name"][member]).decode("utf-8", "surrogateescape")


def _texts(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value; any may name a file."""
    if isinstance(value, str):
        yield value
        yield value.lower()
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _ends(file: Path, offset: int) -> bool:
    """Whether the block of zeros that ends an archive is near `offset`."""
    with file.open("rb") as handle:
        handle.seek(max(offset - tarfile.BLOCKSIZE, 0))
        return b"\0" * tarfile.BLOCKSIZE in handle.read(3 * tarfile.BLOCKSIZE)


def _text(piece: FilePiece) -> str:
    try:
        return piece.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{piece.name} is not UTF-8 ({error}); write it again") from error


def _object(piece: FilePiece) -> dict[str, Any]:
    try:
        values = json.loads(piece.read())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{piece.name} is not JSON: {error}; mend it") from error
    if not isinstance(values, dict):
        raise InputError(f"{piece.name} must hold one object {{...}}, the sample's")
    return values

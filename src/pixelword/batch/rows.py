"""Inputs of a job: image files, folders, globs, and JSON Lines or CSV files with a question in each row."""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pixelword.errors import InputError
from pixelword.processing.image_files import SUFFIXES
from pixelword.processing.media_io import is_url
from pixelword.utils.files import numbered_lines

#: Files with a question in each row.
TABLES = (".jsonl", ".ndjson", ".csv")
_ENDINGS = tuple(f".{suffix}" for suffix in SUFFIXES)


@dataclass(frozen=True)
class Row:
    """One question. fault: why it cannot be asked. Images and videos: paths, data URLs, or URLs.

    named: the images and videos as the input names them.
    """

    number: int
    id: Any
    question: str = ""
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    fault: str | None = None
    named: tuple[str, ...] = ()


def row_of(record: Any, number: int, folder: Path, question: str | None) -> Row:
    """Return the row of a record `{"image": …, "video": …, "question": …, "id": …}`.

    `image` and `video` may be lists or missing; paths are relative to `folder`. question: for records without one.

    Raises:
        ValueError: It is not a row; the message completes "it is not a row: …".
    """
    if not isinstance(record, Mapping):
        raise ValueError("it is not an object")
    question = record.get("question") or question
    if not isinstance(question, str) or not question.strip():
        raise ValueError("it has no question")
    images, videos = (_listed(record.get(name)) for name in ("image", "video"))
    return Row(
        number,
        record.get("id"),
        question,
        images=tuple(_placed(item, folder) for item in images),
        videos=tuple(_placed(item, folder) for item in videos),
        named=(*images, *videos),
    )


def _listed(given: Any) -> tuple[str, ...]:
    found = given if isinstance(given, list) else [] if given is None or given == "" else [given]
    if not all(isinstance(item, str) and item for item in found):
        raise ValueError("image and video are paths, or lists of paths")
    return tuple(found)


def _placed(item: str, folder: Path) -> str:
    return item if item.startswith("data:") or is_url(item) else str(folder / item)


def row_from_line(line: bytes | str, number: int, folder: Path, question: str | None, *, place: str) -> Row:
    """Return the row in a line of JSON; of an invalid line a row with a fault, which calls it `place`."""
    try:
        return row_of(json.loads(line), number, folder, question)
    except ValueError as error:
        return Row(number, None, fault=f"{place} is not a row: {error}")


class Inputs:
    """The rows of some inputs, in order; may be iterated over several times, and holds none of them.

    Args:
        sources: Image files, folders (all images in them and below), globs, and `TABLES`.
        question: For images, and for rows without a question.

    Attributes:
        sources: The files and folders that they are read from.

    Raises:
        InputError: a source does not exist, matches nothing, or has no question.
    """

    def __init__(self, sources: Sequence[str], question: str | None) -> None:
        self.question = question
        self.sources = list(chain.from_iterable(map(_matches, sources)))
        if question is None and (images := [source for source in self.sources if source.suffix not in TABLES]):
            raise InputError(f'{images[0]} has no question: put one after the inputs, as in photos/ "what is this?"')

    def __len__(self) -> int:
        """Number of rows, counted in the files."""
        return sum(1 for source in self.sources for _ in self._items(source))

    def __iter__(self) -> Iterator[Row]:
        number = 0
        for source in self.sources:
            for row in self._rows(source, number):
                number += 1
                yield row

    def _items(self, source: Path) -> Iterator[Any]:
        """Numbered lines, records or paths of a source."""
        try:
            if source.is_dir():
                yield from _images_in(source)
            elif source.suffix == ".csv":
                with source.open(encoding="utf-8-sig", newline="") as file:
                    yield from csv.DictReader(file)
            elif source.suffix in TABLES:
                yield from numbered_lines(source)
            else:
                yield source
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{source}: cannot be read ({error}); check the file") from error

    def _rows(self, source: Path, first: int) -> Iterator[Row]:
        for at, item in enumerate(self._items(source)):
            number = first + at
            if isinstance(item, tuple):
                line, content = item
                yield row_from_line(content, number, source.parent, self.question, place=f"line {line} of {source}")
            elif isinstance(item, dict):
                try:
                    yield row_of(item, number, source.parent, self.question)
                except ValueError as error:
                    yield Row(number, item.get("id"), fault=f"row {at + 1} of {source} is not a row: {error}")
            else:
                yield Row(number, str(item), self.question or "", (str(item),), named=(str(item),))


def _matches(source: str) -> list[Path]:
    """Return a source's files; a folder stays one, and is read when it is iterated over."""
    path = Path(source)
    if path.exists():
        return [path]
    found = sorted(map(Path, glob.glob(source, recursive=True)))
    if not found:
        raise InputError(f"{source}: no such file or folder, and no glob that matches any; check the path")
    return [item for item in found if not item.is_dir()] or found


def _images_in(folder: Path) -> Iterator[Path]:
    """Images in a folder and below, in the order of their names; hidden ones are left out."""
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _images_in(Path(entry.path))
        elif entry.name.lower().endswith(_ENDINGS) and entry.is_file():
            yield Path(entry.path)


def is_input(text: str) -> bool:
    """Whether a word of the command line is an input, not a question."""
    return os.path.exists(text) or bool(glob.has_magic(text) and glob.glob(text, recursive=True))

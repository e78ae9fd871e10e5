"""A source: files of one format, with samples read by number."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelword.data.cache import Table, kept
from pixelword.data.conversations import messages_of
from pixelword.data.sources.json_files import JsonArray, JsonLines
from pixelword.data.sources.parquet import Parquet
from pixelword.data.sources.places import Format, Places, joined
from pixelword.data.sources.webdataset import WebDataset
from pixelword.errors import InputError, PixelwordError, RecipeError
from pixelword.processing.encoded_text import is_data_url
from pixelword.processing.media_io import FilePiece, file_url_path, is_url
from pixelword.processing.options import MediaOptions
from pixelword.processing.types import Sample

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe, SourceRecipe

_FORMATS: dict[str, Format] = {
    "json": JsonArray(),
    "jsonl": JsonLines(),
    "webdataset": WebDataset(),
    "parquet": Parquet(),
}
_ENDINGS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".tar": "webdataset", ".parquet": "parquet"}
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LONGEST_PATH = 1024  # a text that is longer is an encoded image
_SCANS = 8  # files looked through at once: mostly waiting for the disk


@dataclass(frozen=True)
class Source:
    """Samples of a source by number, 0 .. len - 1.

    files: in order; names: what they are called in messages; root: what relative paths of media join.
    """

    name: str
    files: tuple[Path, ...]
    names: tuple[str, ...]
    root: Path
    format: str
    places: Places
    limit: int | None = None

    def __len__(self) -> int:
        return len(self.places) if self.limit is None else min(self.limit, len(self.places))

    def read(self, i: int) -> Sample:
        """Read sample i, without opening its images and videos. Raises InputError with location and fault."""
        try:
            if i in self.places.broken:
                raise InputError(self.places.broken[i])
            row = _FORMATS[self.format].row(self.files[self._file(i)], self.places, i)
            return Sample(messages_of(row.values, partial(self._medium, row.files)), kind=self.name)
        except PixelwordError as error:
            raise InputError(f"{self.where(i)}: {error}") from error
        except OSError as error:
            raise InputError(f"{self.where(i)}: cannot be read ({error.strerror}); check the file") from error

    def values(self, i: int) -> Mapping[str, Any]:
        """Read sample i as written in its file. Raises InputError."""
        if i in self.places.broken:
            raise InputError(f"{self.where(i)}: {self.places.broken[i]}")
        return _FORMATS[self.format].row(self.files[self._file(i)], self.places, i).values

    def where(self, i: int) -> str:
        """Return the location of sample i: "captions.jsonl:17", "shard.tar:000017", "part-0.parquet:row 5"."""
        return _FORMATS[self.format].where(self.names[self._file(i)], self.places, i)

    def _file(self, i: int) -> int:
        return int(self.places.arrays["file"][i])

    def _medium(self, beside: Mapping[str, Any], written: Any) -> Any:
        """Resolve what a file has for an image or video: an archive member, bytes, a URL or a path."""
        if isinstance(written, Mapping):  # Hugging Face's {"bytes": ..., "path": ...}
            if written.get("bytes"):
                return written["bytes"]
            written = written.get("path")
        if isinstance(written, (bytes, FilePiece)):
            return written
        if not isinstance(written, str) or not written:
            raise InputError(f"an image or video is given as {written!r}; give a path")
        for name in (written, written.lower()):
            if name in beside:
                return beside[name]
        if is_url(written) or is_data_url(written):
            return written
        path = file_url_path(written)
        if path is None and len(written) > _LONGEST_PATH:
            return written  # base64
        return self.root / (written if path is None else path)


def open_source(name: str, recipe: SourceRecipe, folder: Path | None = None) -> Source:
    """Open the recipe's source `name`. Locations of its samples are cached in `folder` (`data.index`).

    Raises RecipeError: no such file, an unknown format, or no sample in it.
    """
    files = tuple(source_files(name, recipe.path))
    kind = recipe.format if recipe.format != "auto" else _format_of(name, files)
    table = kept(folder, name, {"format": kind, "scan": 2}, files, lambda: _scanned(name, files, _FORMATS[kind]))
    broken = {int(i): reason for i, reason in table.notes["broken"].items()}
    places = Places(_part(table, "place_"), broken, _part(table, "extra_"))
    if not len(places):
        raise RecipeError(f"data.sources.{name}: {recipe.path} has no samples in it; give a file with some")
    base = Path(os.path.commonpath([file.parent for file in files]))
    names = tuple(file.relative_to(base).as_posix() for file in files)
    return Source(name, files, names, recipe.root.expanduser() if recipe.root else base, kind, places, recipe.limit)


def open_sources(data: DataRecipe) -> dict[str, Source]:
    """Open every source of a recipe, by name. Raises RecipeError."""
    return {name: open_source(name, recipe, data.index) for name, recipe in data.sources.items()}


def media_options(data: DataRecipe) -> MediaOptions:
    """Return the media options of a recipe."""
    return MediaOptions(
        min_pixels=data.min_pixels, max_pixels=data.max_pixels, fps=data.fps, max_frames=data.max_frames
    )


def _part(table: Table, prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in table.arrays.items() if name.startswith(prefix)}


def _scanned(name: str, files: tuple[Path, ...], format: Format) -> Table:
    def scan(file: Path) -> Places:
        try:
            return format.scan(file)
        except OSError as error:
            raise RecipeError(f"data.sources.{name}: {file} cannot be read ({error.strerror}); check it") from error

    with ThreadPoolExecutor(_SCANS) as pool:
        places = joined(list(pool.map(scan, files)), format.pointers)
    arrays = {f"place_{key}": value for key, value in places.arrays.items()}
    arrays |= {f"extra_{key}": value for key, value in places.extra.items()}
    return Table(arrays, {"broken": {str(i): reason for i, reason in places.broken.items()}})


def source_files(name: str, pattern: str) -> Iterator[Path]:
    """Expand a path with globs and {000..127} ranges to unique files, in order. Raises RecipeError."""
    seen: set[str] = set()
    for item in _ranges(os.path.expanduser(pattern)):
        # a file may have brackets in its name
        found = [item] if os.path.exists(item) else sorted(glob.glob(item, recursive=True))
        if not found:
            raise RecipeError(f"data.sources.{name}: no file {item}; check the path (it starts at {Path.cwd()})")
        for file in found:
            if os.path.isdir(file):
                raise RecipeError(f"data.sources.{name}: {file} is a folder; name the files in it: {file}/*.tar, say")
            if file not in seen:
                seen.add(file)
                yield Path(os.path.abspath(file))


def _ranges(pattern: str) -> Iterator[str]:
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _ranges(f"{pattern[: found.start()]}{number:0{len(first)}d}{pattern[found.end() :]}")


def _format_of(name: str, files: tuple[Path, ...]) -> str:
    endings = {file.suffix.lower() for file in files}
    kinds = {_ENDINGS.get(ending) for ending in endings}
    kind = kinds.pop()
    if kind is None or kinds:
        raise RecipeError(
            f"data.sources.{name}: {', '.join(sorted(endings)) or 'no ending'}: the format is unclear; "
            f"use {', '.join(_ENDINGS)} (tars are not compressed), or set format"
        )
    return kind

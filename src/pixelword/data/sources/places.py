"""Locations of samples within files, so that each is read by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Places:
    """Locations of n samples in one file or several.

    arrays: (n,) integers each; every format has names of its own for them, described in its module.
    broken: why there is nothing to read at a place, by its number: a line that is not JSON, the end of a file cut off.
    extra: what the arrays point into, such as the members of a tar.
    """

    arrays: Mapping[str, np.ndarray]
    broken: Mapping[int, str]
    extra: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))


@dataclass(frozen=True)
class Row:
    """Content at a location: values by name and, for tars, files by their name in the archive."""

    values: Mapping[str, Any]
    files: Mapping[str, Any]


class Format(Protocol):
    """A file format. pointers: names of the arrays that index `Places.extra`."""

    pointers: tuple[str, ...]

    def scan(self, file: Path) -> Places:
        """Locate the samples of a file. Raises OSError; other faults are in `Places.broken`."""

    def row(self, file: Path, places: Places, i: int) -> Row:
        """Read the content at place i. Raises InputError (with the fault, not the location)."""

    def where(self, name: str, places: Places, i: int) -> str:
        """Describe place i, for messages; `name` is the file's."""


def joined(places: Sequence[Places], pointers: Sequence[str]) -> Places:
    """Concatenate the places of several files; adds the array `file`, the number of the file."""
    arrays = {name: np.concatenate([place.arrays[name] for place in places]) for name in places[0].arrays}
    arrays["file"] = np.repeat(np.arange(len(places), dtype=np.int32), [len(place) for place in places])
    first = np.cumsum([0, *map(len, places)]).tolist()
    broken = {first[k] + i: reason for k, item in enumerate(places) for i, reason in item.broken.items()}
    extra = {name: np.concatenate([place.extra[name] for place in places]) for name in places[0].extra}
    for pointer in pointers:
        before = np.cumsum([0, *(len(next(iter(place.extra.values()))) for place in places)])[:-1]
        arrays[pointer] = arrays[pointer] + before[arrays["file"]]
    return Places(arrays, broken, extra)

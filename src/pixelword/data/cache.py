"""Arrays cached on disk, complete or absent, and rebuilt when their inputs change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelword.errors import PixelwordError, RecipeError, reason
from pixelword.utils.files import lock, whole_folder

DEFAULT_FOLDER = Path("~/.cache/pixelword/index")

_HEADER = "header.json"
_VERSION = 1  # of the files' layout and of what is put into them: raise it when either changes


@dataclass(frozen=True)
class Table:
    """arrays: by name; notes: everything else, as JSON."""

    arrays: Mapping[str, np.ndarray]
    notes: Mapping[str, Any]


def state_of(files: Iterable[Path]) -> list[list[Any]]:
    """Return [path, size, modification time] of every file, a fingerprint of their contents."""
    stats = ((file, file.stat()) for file in files)
    return [[str(file.resolve()), stat.st_size, stat.st_mtime_ns] for file, stat in stats]


def kept(
    folder: Path | None,
    name: str,
    key: Mapping[str, Any],
    files: Sequence[Path],
    make: Callable[[], Table],
    *,
    holds: Callable[[Table], bool] = lambda table: True,
) -> Table:
    """Return the cached table of `files`, memory-mapped; make and save it with `make` if there is no current one.

    folder: where tables are kept; `DEFAULT_FOLDER` when None. name: what a person finds it by.
    key: what else it depends on (in JSON); tables of other keys stay beside it.
    holds: False for a table that is rebuilt though nothing of this has changed.
    Processes that want the same one wait for the first. Raises RecipeError when the folder cannot be written.
    """
    digest = hashlib.sha256(json.dumps([key, [str(file.resolve()) for file in files]]).encode()).hexdigest()[:16]
    place = (folder or DEFAULT_FOLDER).expanduser() / f"{name}-{digest}"
    header = {"version": _VERSION, "key": dict(key), "files": state_of(files)}
    found = _load(place, header)
    if found is not None and holds(found):
        return found
    with _locked(place):
        found = _load(place, header)  # somebody else's, made while we waited
        if found is None or not holds(found):
            _save(place, header, make())
            found = _load(place, header)
    if found is None:
        raise RecipeError(f"{place}: the index cannot be read back; delete that folder")
    return found


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(lock(place.with_name(f".{place.name}.lock")))
        except OSError as error:
            raise RecipeError(
                f"{place.parent}: cannot keep an index there: {reason(error)}; name another as data.index"
            ) from error
        yield


def _save(place: Path, header: Mapping[str, Any], table: Table) -> None:
    with whole_folder(place, replace=True) as folder:
        for name, array in table.arrays.items():
            np.save(folder / f"{name}.npy", array)
        text = json.dumps({**header, "arrays": list(table.arrays), "notes": table.notes}, ensure_ascii=False)
        (folder / _HEADER).write_text(text, encoding="utf-8")


def _load(place: Path, header: Mapping[str, Any]) -> Table | None:
    """Return the table at `place` if its header matches."""
    try:
        found = json.loads((place / _HEADER).read_text(encoding="utf-8"))
        if {name: found.get(name) for name in header} != json.loads(json.dumps(header)):
            return None
        arrays = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in found["arrays"]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, PixelwordError):
            raise
        return None  # damaged: what was made once can be made again
    return Table(arrays, found["notes"])

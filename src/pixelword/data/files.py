"""Files that are whole or as they were."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pixelword.errors import InputError


def write_whole(path: Path, text: str) -> int:
    """Write a file beside its place, and give it its name once it is whole; returns its bytes.

    Raises InputError when that fails: what was there before stays.
    """
    content = text.encode()
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):  # there may be no folder to clean
            unfinished.unlink()
        raise InputError(f"{path}: cannot be written ({error}); free some space or name another place") from error
    return len(content)

"""Files that are whole or as they were."""

from __future__ import annotations

from pathlib import Path

from pixelword.errors import InputError


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its place, and give it its name once it is whole. Raises InputError when that fails."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error}); free some space or name another place") from error

"""Folders that are whole or absent: written beside their place, and named last."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixelword.errors import CheckpointError, reason


@contextmanager
def whole_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to write into, which gets its name only once it is whole; after an error nothing is left of it.

    Args:
        folder: where it shall be. Missing parents are made.
        replace: take the place of a folder that is there; else only of an empty one.

    Raises:
        CheckpointError: something would be overwritten, or the disk does not take it (full, not writable).
    """
    if not replace:
        check_new_folder(folder)
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as unfinished:
            whole = Path(unfinished) / "whole"
            whole.mkdir()
            yield whole
            publish(whole, folder)
    except BaseException as error:
        for parent in made:
            with suppress(OSError):  # somebody else's by now
                parent.rmdir()
        if isinstance(error, OSError):
            raise CheckpointError(
                f"{folder}: cannot write it: {reason(error)}; free some space or name another"
            ) from error
        raise


def publish(whole: Path, folder: Path) -> None:
    """Give `whole`, which is ready and on the same disk, the name `folder`, in place of what may be there.

    Everything is on the disk when this returns. Raises OSError.
    """
    for file in whole.rglob("*"):
        if file.is_file():
            file.chmod(0o644)  # safetensors writes files that only their owner can read
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if folder.exists():
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
            folder.replace(Path(aside) / "replaced")
            whole.replace(folder)
    else:
        whole.replace(folder)


def check_new_folder(folder: Path) -> None:
    """Raises CheckpointError where something would be overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists already and is not an empty folder: name a new one")

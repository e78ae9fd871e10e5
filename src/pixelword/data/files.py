"""Files that are whole or as they were."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from pixelword.errors import InputError, reason


def write_whole(path: Path, text: str | bytes) -> int:
    """Write a file beside its place, and give it its name once it is whole; returns its bytes.

    Raises InputError when that fails: what was there before stays.
    """
    content = text.encode() if isinstance(text, str) else text
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):  # there may be no folder to clean
            unfinished.unlink()
        raise InputError(
            f"{path}: cannot be written ({reason(error)}); free some space or name another place"
        ) from error
    return len(content)


def claim(path: Path) -> IO[str] | None:
    """A file that is this process's alone while it is open; None where another one has it. Its folder is made.

    The kernel lets go of it, however the process ends. A filesystem without locks gives it to everybody.
    Raises OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.close()
            return None
    return file


def check_place(path: Path, suffix: str) -> Path:
    """The path, where it is a folder or a file of that name's end can be made; nothing is made.

    Raises InputError: anything else. For what takes long to make, before it is made.
    """
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.suffix.lower() != suffix:
        raise InputError(f"{path}: name a {suffix} file, or a folder that exists")
    if not folder.is_dir():
        raise InputError(f"{path}: there is no folder {folder}; make it first, or name another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path}: the folder {folder} cannot be written; name another place")
    return path

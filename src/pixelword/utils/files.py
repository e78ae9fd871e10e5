"""Files and folders that are whole or absent, locks between processes, digests, lines: the only home of each."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pixelword.errors import CheckpointError, InputError, reason


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; the file gets its name once the block ends without an error.

    Its content is on the disk by then. After an error nothing is left of it, and what was there before stays. Parents
    are made.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".unfinished", dir=path.parent)
    os.close(descriptor)
    unfinished = Path(name)
    try:
        yield unfinished
        _to_disk(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: str | bytes) -> int:
    """Write a file by `atomic_file`; returns its size in bytes.

    Raises InputError: it cannot be written, and what was there before stays.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        with atomic_file(path) as unfinished:
            unfinished.write_bytes(data)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({reason(error)}); free some space or name another place"
        ) from error
    return len(data)


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
            _to_disk(file)
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


def _to_disk(file: Path) -> None:
    """Readable by all, as usual (mkstemp and safetensors leave it to its owner), and written out."""
    file.chmod(0o644)
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def try_lock(path: Path, *, reentrant: bool = False) -> IO[str] | None:
    """A lock file that is held while it is open; None where another process holds it. Its folder is made.

    The kernel releases it, however the process ends. A filesystem without locks grants it to everybody.

    Args:
        path: the lock file.
        reentrant: the same process may hold it several times (a POSIX record lock).

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        (fcntl.lockf if reentrant else fcntl.flock)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.close()
            return None
    return file


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock file, after waiting for whoever holds it. Its folder is made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sha256(path: Path) -> str:
    """Digest of a file's content, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file of JSON lines, each with its number in the file, from 1; blank ones are left out.

    Raises OSError.
    """
    with path.open("rb") as file:
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


def check_place(path: Path, suffix: str) -> Path:
    """The path, where it is a folder or a file of that name's end can be made; nothing is made.

    Raises InputError: anything else. For what takes long to make, before it is made.
    """
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.suffix.lower() != suffix:
        raise InputError(f"{path}: name a {suffix} file, or a folder that exists")
    if not folder.is_dir():
        raise InputError(f"{path}: no folder {folder}; make it first, or name another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path}: the folder {folder} cannot be written; name another place")
    return path

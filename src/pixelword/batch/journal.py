"""The output of a job as JSON Lines that only grow, and that know which inputs are answered.

Every line is written and flushed at once, so a killed process loses none; the file is synced to the disk at most once a
second and at the end, so a power cut loses a second. A line that was cut off is removed when the file is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from pixelword.batch.rows import Row
from pixelword.errors import InputError, reason
from pixelword.utils.files import atomic_file, try_lock

_SYNC_SECONDS = 1.0
_DESCRIPTION = ("id", "image", "video", "question")
_SHORT = 200  # characters of a source in a line; data URLs are longer


def content_key(identity: str, question: str, contents: Sequence[Any]) -> str:
    """Return what an answer depends on as 32 hexadecimal digits: model and options, question, digests of the media."""
    return hashlib.blake2b(json.dumps([identity, question, *contents]).encode(), digest_size=16).hexdigest()


def described(row: Row) -> dict[str, Any]:
    """Return an input's fields in the output: `id`, `image` (a path or a list), `video` if there is one, `question`."""
    names = [name if len(name) <= _SHORT else f"{name[:40]}…" for name in row.named]
    images, videos = names[: len(row.images)], names[len(row.images) :]
    video = {"video": videos[0] if len(videos) == 1 else videos} if videos else {}
    return {"id": row.id, "image": images[0] if len(images) == 1 else images or None, **video, "question": row.question}


class Journal:
    """The lines of answered inputs. Use as a context.

    An input is written as often as it occurs. An answer is known by its key, whatever its input is called now.

    Raises:
        InputError: the file holds something else, cannot be written, or another process writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[int, int] = {}  # key -> offset of its first line
        self._lines: dict[int, int] = {}  # key and description -> offset
        self._written: Counter[int] = Counter()  # of those with several lines, how many more than one
        self._met: Counter[int] = Counter()
        self._synced = time.monotonic()
        try:
            self._lock = try_lock(path.with_name(f".{path.name}.lock"))
            if self._lock is None:
                raise InputError(f"{path} is being written by another process; wait for it, or name another file")
            self._file: IO[bytes] = path.open("a+b")
            self._read()
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({reason(error)}); name another file") from error

    def __len__(self) -> int:
        """Number of lines."""
        return len(self._lines) + self._written.total()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self) -> None:
        self._file.seek(0)
        offset = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break  # its writer was killed
            try:
                record = json.loads(line)
                self._note(int(record["key"], 16), _line_key(record), offset)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{self.path}: line {number + 1} is not of such a job; name another file") from error
            offset += len(line)
        self._file.truncate(offset)
        self._file.seek(offset)
        self._end = offset

    def _note(self, key: int, line: int, offset: int) -> None:
        self._answers.setdefault(key, offset)
        if line in self._lines:
            self._written[line] += 1
        self._lines.setdefault(line, offset)

    def line(self, row: Row, key: str) -> int | None:
        """Return the offset of the line of this input, None if it has to be written. To be called once for each input.

        The n-th input of the same description and content has its line if there are n of them.
        """
        line = _line_key({**described(row), "key": key})
        if line not in self._lines:
            return None
        met = self._met[line]
        if met > self._written[line]:
            return None
        self._met[line] = met + 1
        return self._lines[line]

    def answer(self, key: str) -> dict[str, Any] | None:
        """Return the answer to the same content by any other name: the fields of its line after the description."""
        offset = self._answers.get(int(key, 16))
        if offset is None:
            return None
        record = self.at(offset)
        return {name: value for name, value in record.items() if name not in (*_DESCRIPTION, "key")}

    def at(self, offset: int) -> dict[str, Any]:
        """Return the line at an offset."""
        self._file.seek(offset)
        record: dict[str, Any] = json.loads(self._file.readline())
        return record

    def write(self, row: Row, key: str, answer: dict[str, Any]) -> int:
        """Append an input's line; return its offset. Raises OSError."""
        record = {**described(row), **answer, "key": key}
        data = _encoded(record) + b"\n"
        offset = self._end
        self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        self._file.flush()
        self._end += len(data)
        line = _line_key(record)
        self._note(int(key, 16), line, offset)
        self._met[line] += 1
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()
        return offset

    def sync(self) -> None:
        """Bring everything to the disk."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close."""
        if not self._file.closed:
            self.sync()
            self._file.close()
        if self._lock is not None:
            self._lock.close()


def _line_key(record: dict[str, Any]) -> int:
    text = _encoded([record["key"], *(record.get(name) for name in _DESCRIPTION)])
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest())


def _encoded(record: Any) -> bytes:
    """JSON in UTF-8; file names that are not have question marks in a line, and so in what it is known by."""
    return json.dumps(record, ensure_ascii=False).encode(errors="replace")


class Failures:
    """A file with one line for each input that could not be answered, from the last run alone.

    It takes the place of the last run's when it is closed; until then its lines are in a hidden file beside it.

    Raises:
        InputError: the file holds something else, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._whole = ExitStack()
        try:
            if path.exists() and not _are_failures(path):
                raise InputError(f"{path} holds something other than failures of such a job; name another file")
            path = self._whole.enter_context(atomic_file(path))
            self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({reason(error)}); name another file") from error

    def write(self, row: Row, error: str, tries: int) -> None:
        """Add a line."""
        self.count += 1
        self._file.write(json.dumps({**described(row), "error": error, "tries": tries}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close and publish; a file without lines is removed."""
        self._file.close()
        self._whole.close()
        if not self.count:
            self.path.unlink(missing_ok=True)


def _are_failures(path: Path) -> bool:
    """Whether a file is empty, or begins with the line of a failure. Raises OSError."""
    with path.open("rb") as file:
        line = file.readline()
    try:
        return not line or {"error", "tries"} <= json.loads(line).keys()
    except (ValueError, AttributeError):
        return False


def lines_at(journal: Journal, offsets: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield lines by their offsets; negative ones, of inputs without an answer, are left out."""
    for offset in offsets:
        if offset >= 0:
            yield journal.at(offset)

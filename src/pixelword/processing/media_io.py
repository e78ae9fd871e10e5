"""Sources of images and videos.

A source is a path or file:// URL, bytes, anything with `read()`, Hugging Face's {"bytes": ..., "path": ...}, base64
text, a data: URL or, only if allowed, an http(s) URL.
"""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from pixelword.errors import MediaError
from pixelword.processing.decoding import decoding, reason
from pixelword.processing.encoded_text import data_url, from_base64, from_data_url, is_data_url
from pixelword.processing.fetch import fetch_url
from pixelword.processing.limits import Limits

__all__ = ["FilePiece", "data_url", "describe", "is_url", "open_binary", "plain", "read_bytes", "read_file"]


@dataclass(frozen=True)
class FilePiece:
    """A file stored inside another one, such as a tar member. name: for messages."""

    path: Path
    offset: int
    size: int
    name: str

    def open(self) -> BinaryIO:
        """Open it as a file that is read on demand. Raises `MediaError`."""
        try:
            return io.BufferedReader(_Window(self.path.open("rb", buffering=0), self.offset, self.size))
        except OSError as error:
            raise MediaError(f"{self.name}: cannot be read ({error.strerror}); check the file") from error

    def read(self) -> bytes:
        """Read all of it. Raises `MediaError`."""
        try:
            with self.open() as file:
                data = file.read()
        except OSError as error:
            raise MediaError(f"{self.name}: cannot be read ({error.strerror}); check the file") from error
        if len(data) < self.size:
            raise MediaError(f"{self.name}: {self.path} ends within it; get that file again")
        return data


class _Window(io.RawIOBase):
    """`size` bytes of an open file, starting at `offset`."""

    def __init__(self, file: io.FileIO, offset: int, size: int) -> None:
        super().__init__()
        self.file, self.offset, self.size = file, offset, size
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        return self.place

    def readinto(self, buffer: Any) -> int:
        self.file.seek(self.offset + self.place)
        data = self.file.read(max(min(len(buffer), self.size - self.place), 0))
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


def describe(source: Any) -> str:
    """Return a short name for messages: the path, the URL, or the kind of source."""
    if isinstance(source, FilePiece):
        return source.name
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"{len(source)} bytes in memory"
    if isinstance(source, (str, os.PathLike)):
        text = os.fsdecode(source)
        if is_data_url(text):
            return "data URL"
        return text if len(text) <= 200 else f"{text[:40]}…{text[-40:]} ({len(text):,} characters)"
    name = getattr(source, "name", None)
    if hasattr(source, "read") and isinstance(name, str) and 0 < len(name) <= 200:
        return name
    return type(source).__name__


def is_url(source: Any) -> bool:
    return isinstance(source, str) and source[:8].lower().startswith(("http://", "https://"))


def file_url_path(source: str) -> str | None:
    """Return the path of a file: URL, None for any other text. After two slashes, the path may be relative."""
    if not source[:64].lstrip().lower().startswith("file:"):
        return None
    rest = source.strip()[len("file:") :]
    if rest.startswith("//"):
        rest = rest[2:]
        rest = rest.removeprefix("localhost") if rest.startswith("localhost/") else rest
    path = unquote(rest)
    return rest if os.path.exists(rest) and not os.path.exists(path) else path


def plain(source: Any) -> Any:
    """Unwrap {"bytes": ..., "path": ...} and file: URLs."""
    if isinstance(source, Mapping):
        found = next((source[name] for name in ("bytes", "path", "url") if source.get(name)), None)
        if found is None:
            raise MediaError('an object without "bytes" or "path"; give it one of them')
        source = found
    path = file_url_path(source) if isinstance(source, str) else None
    return source if path is None else Path(path)


def read_bytes(source: Any, *, kind: str, limits: Limits, allow_urls: bool = False, allow_files: bool = True) -> bytes:
    """Read the encoded bytes of a `kind` ("image", "video"), at most `limits.max_bytes`. Raises `MediaError`."""
    source = plain(source)
    name = describe(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, FilePiece):
        _check_files(name, kind, allow_files)
        _check_length(name, source.size, kind, limits)
        data = source.read()
    elif is_url(source):
        if not allow_urls:
            raise MediaError(
                f"{name}: URLs are off here; download the {kind} and give the file, or pass allow_urls=True"
            )
        data = fetch_url(source, limits)
    elif isinstance(source, str) and is_data_url(source):
        data = from_data_url(source, kind)
    elif isinstance(source, (str, os.PathLike)):
        inline = from_base64(source, kind) if isinstance(source, str) else None
        data = inline if inline is not None else read_file(source, kind=kind, limits=limits, allow_files=allow_files)
    elif hasattr(source, "read"):
        data = _read_stream(source, name, kind, limits)
    else:
        raise MediaError(
            f"a {name} is not {_a(kind)}; give a path, bytes, an open file, base64 text or a decoded {kind}"
        )
    if not data:
        raise MediaError(f"{name}: the {kind} is empty; give a file that has something in it")
    _check_length(name, len(data), kind, limits)
    return data


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _check_files(name: str, kind: str, allow_files: bool) -> None:
    if not allow_files:
        raise MediaError(f"{name}: files are not opened here; send the {kind} itself as a data URL")


def _check_length(name: str, size: int, kind: str, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise MediaError(f"{name}: {size:,} bytes are more than the limit of {limits.max_bytes:,}; shrink the {kind}")


def _read_stream(file: Any, name: str, kind: str, limits: Limits) -> bytes:
    """Read all of an open file, from its start if it is seekable; the position is restored."""
    with decoding(name, kind, "it cannot be read"), _rewound(file):
        data = file.read(limits.max_bytes + 1)
    if inspect.isawaitable(data):
        getattr(data, "close", lambda: None)()
        raise MediaError(f"a {type(file).__name__} is read with await; pass the bytes: await file.read()")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise MediaError(f"{name}: gives {type(data).__name__}, not bytes; open the file in binary mode")
    return bytes(data)


@contextmanager
def _rewound(file: Any) -> Iterator[None]:
    try:
        place = file.tell()
        file.seek(0)
    except (AttributeError, OSError):  # a pipe, a response: read on from where it stands
        yield
        return
    if inspect.isawaitable(place):
        getattr(place, "close", lambda: None)()
        yield
        return
    try:
        yield
    finally:
        file.seek(place)


def open_binary(
    source: Any, *, kind: str, limits: Limits, allow_urls: bool = False, allow_files: bool = True
) -> BinaryIO:
    """Open the source as a stream; files are not read here, so they may be longer than `limits.max_bytes`."""
    source = plain(source)
    if isinstance(source, FilePiece) and allow_files:
        if not source.size:
            raise MediaError(f"{source.name}: the {kind} is empty; give a file that has something in it")
        return source.open()
    if allow_files and _is_open_file(source):
        source = Path(source.name)  # it may be large: opened a second time instead of read
    is_path = isinstance(source, os.PathLike) or (
        isinstance(source, str) and not is_url(source) and not is_data_url(source) and from_base64(source, kind) is None
    )
    if not is_path:
        data = read_bytes(source, kind=kind, limits=limits, allow_urls=allow_urls, allow_files=allow_files)
        return io.BytesIO(data)
    path = check_file(source, kind=kind, allow_files=allow_files)
    try:
        return path.open("rb")
    except OSError as error:
        raise MediaError(f"{describe(path)}: cannot be read ({error.strerror}); check its permissions") from error


def _is_open_file(source: Any) -> bool:
    """Whether this is an open file whose name still refers to it."""
    if not isinstance(source, io.BufferedReader) or not isinstance(source.name, str):
        return False
    try:
        return os.path.samestat(os.fstat(source.fileno()), os.stat(source.name))
    except (OSError, ValueError):  # closed, removed or renamed
        return False


def check_file(source: str | os.PathLike[str], *, kind: str, allow_files: bool) -> Path:
    """Return the path of an existing, non-empty file. Raises `MediaError`."""
    name = describe(source)
    _check_files(name, kind, allow_files)
    path = Path(os.fsdecode(source))
    try:
        if path.is_dir():
            raise MediaError(f"{name}: a folder, not {_a(kind)}; give a file")
        if not path.exists():
            raise MediaError(f"{name}: no such file; check the path")
        if not path.is_file():
            raise MediaError(f"{name}: a pipe or a device, not {_a(kind)}; give a file")
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError also is MediaError: let that one through unchanged
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{name}: cannot be opened ({reason(error)}); check the path") from error
    if size == 0:
        raise MediaError(f"{name}: the file is empty; give {_a(kind)} that has something in it")
    return path


def read_file(source: str | os.PathLike[str], *, kind: str, limits: Limits, allow_files: bool) -> bytes:
    path = check_file(source, kind=kind, allow_files=allow_files)
    _check_length(describe(path), path.stat().st_size, kind, limits)
    try:
        return path.read_bytes()
    except OSError as error:
        raise MediaError(f"{describe(path)}: cannot be read ({error.strerror}); check its permissions") from error

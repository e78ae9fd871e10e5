"""Where pictures and videos come from: paths, bytes, base64, data URLs and, only where allowed, http(s) URLs."""

from __future__ import annotations

import base64
import binascii
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pixelword.errors import MediaError
from pixelword.processing.fetch import fetch_url
from pixelword.processing.limits import Limits

if TYPE_CHECKING:
    from PIL import Image

# Shorter strings without a file behind them are mistyped paths, not base64.
SHORTEST_BASE64 = 64


@dataclass(frozen=True)
class FilePiece:
    """A file that lies whole inside another one, such as a member of a tar. name: for messages."""

    path: Path
    offset: int
    size: int
    name: str

    def open(self) -> BinaryIO:
        """It as a file of its own, of which only what is asked for is read. Raises `MediaError`."""
        try:
            return io.BufferedReader(_Window(self.path.open("rb", buffering=0), self.offset, self.size))
        except OSError as error:
            raise MediaError(f"{self.name}: cannot be read ({error.strerror}); check the file") from error

    def read(self) -> bytes:
        """All of it. Raises `MediaError`."""
        with self.open() as file:
            data = file.read()
        if len(data) < self.size:
            raise MediaError(f"{self.name}: {self.path} ends within it; get that file again")
        return data


class _Window(io.RawIOBase):
    """`size` bytes of an open file from `offset` on."""

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
    """A short name for messages: the path, the URL, or what kind of bytes it is."""
    if isinstance(source, FilePiece):
        return source.name
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"{len(source)} bytes in memory"
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        text = text if isinstance(text, str) else os.fsdecode(text)
        if text.startswith("data:"):
            return "data URL"
        return text if len(text) <= 200 else f"{text[:40]}… ({len(text)} characters)"
    return type(source).__name__


def is_url(source: Any) -> bool:
    return isinstance(source, str) and source[:8].lower().startswith(("http://", "https://"))


def read_bytes(source: Any, *, kind: str, limits: Limits, allow_urls: bool = False, allow_files: bool = True) -> bytes:
    """The encoded bytes of a `kind` ("picture", "video"), never more than `limits.max_bytes`. Raises `MediaError`."""
    name = describe(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, FilePiece):
        if not allow_files:
            raise MediaError(f"{name}: files are not opened here; send the {kind} itself as a data URL")
        if source.size > limits.max_bytes:
            raise MediaError(
                f"{name}: {source.size:,} bytes are more than the limit of {limits.max_bytes:,}; shrink the {kind}"
            )
        data = source.read()
    elif is_url(source):
        if not allow_urls:
            raise MediaError(
                f"{name}: URLs are off here; download the {kind} and give the file, or pass allow_urls=True"
            )
        data = fetch_url(source, limits)
    elif isinstance(source, str) and source.startswith("data:"):
        data = _from_data_url(source, kind)
    elif isinstance(source, (str, os.PathLike)):
        inline = _from_base64(source) if isinstance(source, str) else None
        data = inline if inline is not None else read_file(source, kind=kind, limits=limits, allow_files=allow_files)
    else:
        raise MediaError(f"a {name} is no {kind}; give a path, bytes, base64 text, or an already decoded {kind}")
    if not data:
        raise MediaError(f"{name}: the {kind} is empty; give a file that has something in it")
    if len(data) > limits.max_bytes:
        raise MediaError(
            f"{name}: {len(data):,} bytes are more than the limit of {limits.max_bytes:,}; shrink the {kind}"
        )
    return data


def open_binary(
    source: Any, *, kind: str, limits: Limits, allow_urls: bool = False, allow_files: bool = True
) -> BinaryIO:
    """The same as a stream; a file is opened, not read, so it may be longer than `limits.max_bytes`."""
    if isinstance(source, FilePiece) and allow_files:
        if not source.size:
            raise MediaError(f"{source.name}: the {kind} is empty; give a file that has something in it")
        return source.open()
    is_path = isinstance(source, os.PathLike) or (
        isinstance(source, str)
        and not is_url(source)
        and not source.startswith("data:")
        and _from_base64(source) is None
    )
    if not is_path:
        data = read_bytes(source, kind=kind, limits=limits, allow_urls=allow_urls, allow_files=allow_files)
        return io.BytesIO(data)
    path = check_file(source, kind=kind, allow_files=allow_files)
    try:
        return path.open("rb")
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def check_file(source: str | os.PathLike[str], *, kind: str, allow_files: bool) -> Path:
    """The path of an existing, non-empty file. Raises `MediaError`."""
    if not allow_files:
        raise MediaError(f"{describe(source)}: files are not opened here; send the {kind} itself as a data URL")
    path = Path(source)
    try:
        if path.is_dir():
            raise MediaError(f"{path}: a folder, not a {kind}; give a file")
        if not path.exists():
            raise MediaError(f"{path}: no such file; check the path")
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError also is MediaError: let that one through unchanged
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{describe(source)}: cannot be opened ({error}); check the path") from error
    if size == 0:
        raise MediaError(f"{path}: the file is empty; give a {kind} that has something in it")
    return path


def read_file(source: str | os.PathLike[str], *, kind: str, limits: Limits, allow_files: bool) -> bytes:
    path = check_file(source, kind=kind, allow_files=allow_files)
    size = path.stat().st_size
    if size > limits.max_bytes:
        raise MediaError(f"{path}: {size:,} bytes are more than the limit of {limits.max_bytes:,}; shrink the {kind}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def data_url(image: Image.Image, format: str, **options: Any) -> str:
    """A picture inside an address, for a page or a request. format: "PNG", "WEBP", ...; options: of PIL's `save`."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return f"data:image/{format.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _from_data_url(url: str, kind: str) -> bytes:
    header, comma, body = url.partition(",")
    if not comma or not header.endswith(";base64"):
        raise MediaError(f"data URL: must look like data:<type>;base64,<data>; encode the {kind} as base64")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"data URL: not valid base64 ({error}); encode the {kind} again") from error


def _from_base64(text: str) -> bytes | None:
    """Bytes of bare base64 text, or None when the text is better read as a path."""
    if len(text) < SHORTEST_BASE64 or (len(text) < 4096 and os.path.exists(text)):
        return None
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None

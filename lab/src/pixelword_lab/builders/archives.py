"""Reading what package managers bring, without running or unpacking any of it.

Wheels are zip files, npm's and source packages tar files, Debian's an `ar` whose contents `dpkg-deb` gives as tar.
Members are handed on as bytes, one by one: nothing is written to disk, so that no name in an archive can lead anywhere.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pixelword.errors import AssetError, reason

#: Of one member, opened, in bytes; the largest that is wanted has 62 MB. More is a bomb or not what it says it is.
MEMBER = 256 * 2**20
#: Of all members that are taken from one archive.
TOTAL = 4 * 2**30

Wanted = Callable[[str], bool]


@dataclass(frozen=True)
class Archive:
    """One downloaded package. name: of the package, for messages."""

    name: str
    path: Path

    def members(self, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
        """(name in the archive, content) of the regular files that are `wanted`, in the archive's order.

        Raises AssetError: damaged, too large, or `dpkg-deb` is missing for a Debian package.
        """
        try:
            if self.path.suffix in (".whl", ".zip"):
                with zipfile.ZipFile(self.path) as opened:
                    yield from _capped(_zipped(opened, wanted), self.name)
            elif self.path.suffix == ".deb":
                with _debian(self.path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                    yield from _capped(_tarred(tar, wanted), self.name)
            else:
                with tarfile.open(self.path, "r|*") as tar:
                    yield from _capped(_tarred(tar, wanted), self.name)
        except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
            raise AssetError(f"{self.path} cannot be read ({reason(error)}); delete it, then fetch again") from error

    def files(self, wanted: Wanted) -> dict[str, bytes]:
        """The wanted members by name, all at once: for those that are few."""
        return dict(self.members(wanted))

    def file(self, name: str) -> bytes:
        """One member. Raises AssetError where there is none."""
        for _, content in self.members(lambda item: item == name):
            return content
        raise AssetError(f"{self.path} has no file {name}: another version of {self.name} is needed")


def inner_zip(content: bytes, wanted: Wanted, name: str) -> Iterator[tuple[str, bytes]]:
    """The wanted members of a zip file inside an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            yield from _capped(_zipped(opened, wanted), name)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise AssetError(f"{name} cannot be read ({reason(error)})") from error


def _capped(found: Iterable[tuple[str, int, Callable[[], bytes]]], name: str) -> Iterator[tuple[str, bytes]]:
    """(name, declared bytes, reader) -> (name, content), until it would be too much."""
    total = 0
    for member, size, read in found:
        total += size
        if size > MEMBER or total > TOTAL:
            raise AssetError(f"{name}: {member} is larger than any file of a package should be ({size:,} bytes)")
        yield member, read()


def _zipped(opened: zipfile.ZipFile, wanted: Wanted) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    for info in opened.infolist():
        if not info.is_dir() and wanted(info.filename):
            yield info.filename, info.file_size, lambda info=info: opened.read(info)  # type: ignore[misc]


def _tarred(tar: tarfile.TarFile, wanted: Wanted) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Links are left out: what they point at is a member of its own."""
    for info in tar:
        name = info.name.removeprefix("./").removeprefix("package/")
        if info.isreg() and wanted(name):
            file = tar.extractfile(info)
            assert file is not None  # a regular file has contents
            yield name, info.size, file.read


@contextmanager
def _debian(path: Path) -> Iterator[IO[bytes]]:
    """The contents of a Debian package as a tar stream; its scripts are not among them."""
    command = ["dpkg-deb", "--fsys-tarfile", str(path)]
    try:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise AssetError(f"{path} can only be opened by dpkg-deb, which Debian and its like have") from error
    assert running.stdout is not None
    try:
        yield running.stdout
        if running.stdout.read(1):  # what follows the last member is padding
            while running.stdout.read(2**20):
                pass
        if running.wait():
            raise AssetError(f"{path} is damaged (dpkg-deb: {running.returncode}); delete it, then fetch again")
    finally:
        running.stdout.close()
        running.kill()
        running.wait()

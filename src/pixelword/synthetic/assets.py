"""Asset packs: what tasks are made of (cut-outs, fonts, words, tables, rendered pages), each pack one file.

A pack is a zip archive: `pack.json` (name, licences, items) and the items' files, images and clips as they are and
other things compressed. Items are dictionaries with a "key", the name of the asset by which it belongs to one split for
good (or by "split", where it says so), and what else is known of it ("label", "file", "box", ...). zip keeps a checksum
of every file, so that damage is found when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pixelword.errors import AssetError, reason
from pixelword.plugins import INSTALL_LAB, has_lab
from pixelword.synthetic.types import Split
from pixelword.utils.files import atomic_file

#: Share of a pack's assets that training never sees.
HELD_OUT = 0.15
_INDEX = "pack.json"
_COMPRESSED = (".webp", ".png", ".jpg", ".mp4", ".avi", ".mkv")

Item = dict[str, Any]


def default_folder() -> Path:
    """Where packs are stored: $PIXELWORD_ASSETS, or `~/.cache/pixelword/assets`."""
    return Path(os.environ.get("PIXELWORD_ASSETS") or Path.home() / ".cache" / "pixelword" / "assets")


def fetch_command(pack: str) -> str:
    """The command that makes a pack, and before it the one that brings that command, where it is not installed."""
    fetch = f"pixelword tasks fetch {pack}"
    return fetch if has_lab() else f"{fetch} (which is part of pixelword-lab: {INSTALL_LAB})"


def split_of(key: str, share: float = HELD_OUT) -> Split:
    """The split that an asset belongs to, by its name alone: the same whatever else is fetched."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return "test" if number < share * 2**64 else "train"


class AssetPack:
    """A pack, open for reading. Safe to use in forked workers: each opens the file for itself."""

    def __init__(self, path: Path) -> None:
        """Raises AssetError: no such pack, or a damaged one."""
        self.path = path
        try:
            about = json.loads(self._zip.read(_INDEX))
            self.name: str = about["name"]
            self.licences: dict[str, str] = about["licences"]
            self.items: list[Item] = about["items"]
        except FileNotFoundError as error:
            raise AssetError(f"{path} is missing: {fetch_command(path.stem)}") from error
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from error

    @property
    def _zip(self) -> zipfile.ZipFile:
        """This process's own handle; a forked one would share its place in the file."""
        opened = self.__dict__.get("_opened")
        if opened is None or opened[0] != os.getpid():
            opened = self.__dict__["_opened"] = (os.getpid(), zipfile.ZipFile(self.path))
        return opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    def read(self, file: str) -> bytes:
        """A file of the pack. Raises AssetError: damaged, or not in it."""
        try:
            return self._zip.read(file)
        except KeyError as error:
            raise AssetError(f"{self.path} has no file {file!r}: {fetch_command(self.path.stem)}") from error
        except (OSError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(error) from error

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The names of all files of the pack."""
        return tuple(name for name in self._zip.namelist() if name != _INDEX)

    @cached_property
    def _splits(self) -> dict[Split, list[Item]]:
        parts: dict[Split, list[Item]] = {"train": [], "test": []}
        for item in self.items:
            parts[item.get("split") or split_of(item["key"])].append(item)
        return parts

    def of(self, split: Split) -> list[Item]:
        """The items of one split, in the pack's order."""
        return self._splits[split]

    def _damaged(self, error: Exception) -> AssetError:
        return AssetError(f"{self.path} is damaged ({reason(error)}): delete it, then {fetch_command(self.path.stem)}")


class Assets:
    """All packs of a folder, each opened on first use."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        self._packs: dict[str, AssetPack] = {}

    def pack(self, name: str) -> AssetPack:
        """A pack by its name. Raises AssetError with the command that brings it."""
        if name not in self._packs:
            self._packs[name] = AssetPack(self.folder / f"{name}.zip")
        return self._packs[name]

    def has(self, name: str) -> bool:
        """Whether the pack is there; it may still be damaged."""
        return (self.folder / f"{name}.zip").is_file()


def write_pack(path: Path, items: Iterable[tuple[Item, Mapping[str, bytes]]], *, licences: Mapping[str, str]) -> int:
    """Write a pack, whole or not at all; returns how many items it has.

    Args:
        path: `folder/name.zip`.
        items: each with its files by name; taken one by one, so that memory holds one.
        licences: source -> licence.

    Raises:
        AssetError: it could not be written; a pack that was there before stays.
    """
    index: list[Item] = []
    try:
        with atomic_file(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
            for item, files in items:
                index.append(item)
                for name, content in files.items():
                    stored = name.endswith(_COMPRESSED)
                    archive.writestr(name, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
            about = {"name": path.stem, "licences": dict(licences), "items": index}
            archive.writestr(_INDEX, json.dumps(about, ensure_ascii=False), compress_type=zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise AssetError(
            f"{path}: cannot write the pack ({reason(error)}); free some space, then fetch again"
        ) from error
    return len(index)

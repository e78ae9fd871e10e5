"""Packages become packs: each got once, checked, opened without running it, and built into `<assets>/NAME.zip`.

What is there already is left as it is, so that a second run is quick, needs no network, and takes up where the first
was interrupted. What cannot be got is one line, and the rest goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from pixelword.errors import AssetError
from pixelword.synthetic.assets import Item, write_pack
from pixelword.utils.files import sha256, try_lock
from pixelword_lab.builders import PACKS, Part
from pixelword_lab.builders.archives import Archive
from pixelword_lab.packs.downloads import download
from pixelword_lab.packs.manifest import Built, Fetched, Manifest
from pixelword_lab.packs.packages import PACKAGES, Package

#: Called with what is being done, and how many of its items are done.
Progress = Callable[[str, int], None]


def fetch(
    folder: Path,
    names: Sequence[str] = (),
    *,
    offline: bool = False,
    rebuild: bool = False,
    shown: Progress = lambda what, done: None,
) -> list[str]:
    """Bring the named packs (all where none is named) up to date; returns what could not be done, a line each.

    Args:
        folder: of the packs; archives are kept in `archives/` beneath it.
        offline: take only the archives that are kept.
        rebuild: build packs that are up to date, too.

    Raises:
        AssetError: an unknown name, another fetch is at work there, or the folder cannot be written.
    """
    unknown = [name for name in names if name not in PACKS]
    if unknown:
        raise AssetError(f"there is no pack {unknown[0]!r}: choose from {', '.join(PACKS)}")
    faults: list[str] = []
    with _alone(folder):
        manifest = Manifest.read(folder)
        got: dict[str, Archive | None] = {}
        for name in names or PACKS:
            if not rebuild and _up_to_date(name, manifest):
                continue
            for package in dict.fromkeys(package for part in PACKS[name] for package in part.packages):
                if package not in got:
                    shown(f"fetching {package}", 0)
                    try:
                        got[package] = _archive(PACKAGES[package], manifest, offline)
                    except AssetError as error:
                        got[package] = None
                        faults.append(str(error))
            try:
                _build(name, got, manifest, rebuild, shown)
            except AssetError as error:
                faults.append(f"pack {name}: {error}")
    return faults


def missing(name: str, folder: Path) -> list[str]:
    """The packages that a pack was built without, because they could not be got."""
    built = Manifest.read(folder).packs.get(name)
    wanted = [package for part in PACKS[name] for package in part.packages]
    return [package for package in wanted if built is None or package not in built.made_of]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One fetch at a time in a folder; what an earlier one left unfinished goes away."""
    try:
        lock = try_lock(folder / ".lock")
    except OSError as error:
        raise AssetError(f"{folder} cannot be written ({error.strerror}); choose another with --assets") from error
    if lock is None:
        raise AssetError(f"another fetch is at work in {folder}: wait until it is done")
    with lock:
        for left in (folder / "archives").glob(".coming-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _up_to_date(name: str, manifest: Manifest) -> bool:
    """Whether a pack is there, whole, and made of the packages and by the builders that are known now."""
    built = manifest.packs.get(name)
    path = manifest.folder / f"{name}.zip"
    if built is None or not path.is_file() or path.stat().st_size != built.bytes:
        return False
    wanted = {package: part.version for part in PACKS[name] for package in part.packages}
    return built.versions == wanted and all(PACKAGES[item].sha256 in ("", built.made_of[item]) for item in wanted)


def _archive(package: Package, manifest: Manifest, offline: bool) -> Archive:
    """A package's archive: the kept one where it is what it was, or a new one."""
    cache = manifest.folder / "archives"
    kept = manifest.packages.get(package.name)
    if kept is not None and package.sha256 in ("", kept.sha256):
        path = cache / kept.file
        if path.is_file() and sha256(path) == kept.sha256:
            return Archive(package.name, path)
    if offline:
        raise AssetError(f"{package.name} ({package.kind}) is not among the kept archives: fetch it without --offline")
    path = download(package, cache)
    # Debian's file names carry the version: name_version_architecture.deb
    version = package.version or path.name.split("_")[1].replace("%3a", ":")
    manifest.packages[package.name] = Fetched(
        package.kind, version, sha256(path), package.licence, path.name, path.stat().st_size, date.today().isoformat()
    )
    manifest.write()
    return Archive(package.name, path)


def _build(name: str, got: dict[str, Archive | None], manifest: Manifest, rebuild: bool, shown: Progress) -> None:
    """Write the pack from the parts whose packages are there, unless that would be less than there is."""
    there = [part for part in PACKS[name] if all(got[package] for package in part.packages)]
    if not there:
        raise AssetError("none of its packages could be got")
    made_of = {package: manifest.packages[package].sha256 for part in there for package in part.packages}
    versions = {package: part.version for part in there for package in part.packages}
    path, before = manifest.folder / f"{name}.zip", manifest.packs.get(name)
    if before is not None and path.is_file() and path.stat().st_size == before.bytes and not rebuild:
        same = all(before.made_of.get(item) == made_of[item] for item in made_of)
        if same and all(before.versions.get(item) == versions[item] for item in made_of):
            return
    licences = {package: manifest.packages[package].licence for package in made_of}
    items = write_pack(path, _items(name, there, got, shown), licences=licences)
    manifest.packs[name] = Built(items, path.stat().st_size, made_of, versions, licences, date.today().isoformat())
    manifest.write()


def _items(
    name: str, parts: Sequence[Part], got: dict[str, Archive | None], shown: Progress
) -> Iterator[tuple[Item, dict[str, bytes]]]:
    done = 0
    for part in parts:
        for made in part.make(*(got[package] for package in part.packages)):
            yield made
            done += 1
            shown(f"building {name}", done)
    if not done:
        raise AssetError("its packages hold nothing for it; another version of them is needed")

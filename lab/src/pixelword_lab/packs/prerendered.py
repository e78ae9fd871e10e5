"""Pools: what is slow to draw (charts, pages, rooms, clips) rendered beforehand into a pack, to be asked about afresh.

Every item is written by itself as soon as it is rendered, into a folder beside the pack, and all are joined at the end:
a run that is stopped goes on where it was, and a larger count takes over what the pool has already.
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from random import Random
from typing import Any

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack, Assets, Item, split_of, write_pack
from pixelword.synthetic.types import Split
from pixelword_lab.family import Family, family

#: Called with the number of items done, and of all items.
Progress = Callable[[int, int], None]


def render_pool(
    name: str,
    assets: Assets,
    count: int,
    *,
    seed: int = 0,
    workers: int = 0,
    rebuild: bool = False,
    shown: Progress = lambda done, total: None,
) -> Path:
    """Render `count` items of a family's pool; returns the pack's file.

    Args:
        name: of the family.
        assets: where its packs are and the pool will be.
        seed: another one gives other items; what the pool has of another seed is not kept.
        workers: processes; 0 renders in this one.
        rebuild: keep nothing that is there.

    Raises:
        AssetError: the family has no pool, a pack it needs is missing, or the disk is full.
    """
    pool = _with_pool(name).pool
    path = assets.folder / f"{pool}.zip"
    parts = assets.folder / f".{pool}.parts"
    if rebuild:
        shutil.rmtree(parts, ignore_errors=True)
    kept = {} if rebuild or not path.is_file() else {item["key"]: item for item in AssetPack(path).items}
    numbers = [n for n in range(count) if _key(pool, seed, n) not in kept and not _part(parts, seed, n).is_file()]
    done = count - len(numbers)
    shown(done, count)
    for _ in _rendered(name, assets, parts, seed, numbers, workers):
        done += 1
        shown(done, count)
    opened = AssetPack(path) if kept else None
    licences = dict(opened.licences if opened else {})
    for pack in sorted({*_with_pool(name).needs, *_packs(parts)}):
        if assets.has(pack):
            licences |= assets.pack(pack).licences
    write_pack(path, _joined(pool, seed, count, parts, opened, kept), licences=licences)
    shutil.rmtree(parts, ignore_errors=True)
    return path


def render_one(name: str, folder: Path, parts: Path, seed: int, number: int) -> int:
    """Render item `number` into a file of its own; returns the number."""
    rendered = _with_pool(name)
    assert rendered.render is not None
    pool = str(rendered.pool)
    key = _key(pool, seed, number)
    split: Split = split_of(key)
    files, facts = rendered.render(Random(f"{pool} {split} {seed} {number}"), split, _assets(folder))
    renamed = {file: f"{seed}-{number:06d}/{file}" for file in files}
    item = {**{fact: _renamed(value, renamed) for fact, value in facts.items()}, "key": key, "split": split}
    content = {renamed[file]: data for file, data in files.items()}
    write_pack(_part(parts, seed, number), [(item, content)], licences={})
    return number


def _with_pool(name: str) -> Family:
    found = family(name)
    if found.pool is None or found.render is None:
        raise AssetError(f"{name} is drawn as it is asked; it has no pool to render")
    return found


def _key(pool: str | None, seed: int, number: int) -> str:
    return f"{pool}/{seed}/{number}"


def _part(parts: Path, seed: int, number: int) -> Path:
    return parts / f"{seed}-{number:06d}.zip"


def _packs(parts: Path) -> set[str]:
    """The packs that new items were made of."""
    items = (AssetPack(part).items[0] for part in parts.glob("*.zip"))
    return {asset.partition(":")[0] for item in items for asset in item.get("assets", ())}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A fact that names a file of its item, or lists some, by the names that the pool has for them."""
    if isinstance(value, str):
        return names.get(value, value)
    return [_renamed(item, names) for item in value] if isinstance(value, list | tuple) else value


def _rendered(name: str, assets: Assets, parts: Path, seed: int, numbers: list[int], workers: int) -> Iterator[int]:
    """The numbers as they are done."""
    if workers == 0:
        for number in numbers:
            yield render_one(name, assets.folder, parts, seed, number)
        return
    # spawned: browsers and renderers do not survive a fork
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    try:
        running = [pool.submit(render_one, name, assets.folder, parts, seed, number) for number in numbers]
        for future in as_completed(running):
            yield future.result()
    except BrokenProcessPool as error:
        raise AssetError(
            f"a process that rendered {name} was ended from outside (out of memory?); start again, with fewer workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_opened: dict[Path, Assets] = {}


def _assets(folder: Path) -> Assets:
    """This process's packs: opened once, not for every item."""
    return _opened.setdefault(folder, Assets(folder))


def _joined(
    pool: str | None, seed: int, count: int, parts: Path, opened: AssetPack | None, kept: Mapping[str, Item]
) -> Iterator[tuple[Item, dict[str, bytes]]]:
    """Items in the order of their numbers, from the pool that was and from the parts."""
    files: dict[str, list[str]] = {}
    for file in opened.files if opened else ():
        files.setdefault(file.partition("/")[0], []).append(file)
    for number in range(count):
        own = kept.get(_key(pool, seed, number))
        if own is not None and opened is not None:
            yield own, {file: opened.read(file) for file in files.get(f"{seed}-{number:06d}", ())}
        else:
            part = AssetPack(_part(parts, seed, number))
            yield part.items[0], {file: part.read(file) for file in part.files}

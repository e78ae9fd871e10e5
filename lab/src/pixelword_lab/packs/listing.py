"""Tables for people: the families of tasks, and the packs they are drawn from."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table

from pixelword.synthetic.assets import Assets
from pixelword_lab.builders import PACKS
from pixelword_lab.family import NAMES, family
from pixelword_lab.packs.manifest import Manifest
from pixelword_lab.packs.packages import PACKAGES


def families_table(folder: Path) -> Table:
    """A row a family: what it asks, which packs it needs (in red those that it lacks), and its pool."""
    assets = Assets(folder)
    table = _table("family", "what", "kinds", "needs", "pool")
    for name in NAMES:
        item = family(name)
        rendered = item.pool is not None and assets.has(item.pool)
        needs = ", ".join(need if rendered or assets.has(need) else f"[red]{need}[/]" for need in item.needs)
        pool = (
            "" if item.pool is None else f"{len(assets.pack(item.pool).items):,}" if assets.has(item.pool) else "none"
        )
        table.add_row(name, item.title, str(len(item.kinds)), needs, pool)
    return table


def packs_table(folder: Path) -> Table:
    """A row a pack: items, size, and the packages it is made of (in brackets those it still lacks)."""
    built = Manifest.read(folder).packs
    table = _table("pack", "items", "MB", "from", "licences")
    for name, parts in PACKS.items():
        packages = list(dict.fromkeys(package for part in parts for package in part.packages))
        own = built.get(name)
        sources = ", ".join(item if own and item in own.made_of else f"({item})" for item in packages)
        licences = ", ".join(dict.fromkeys(PACKAGES[package].licence for package in packages))
        numbers = (f"{own.items:,}", f"{own.bytes / 1e6:.1f}") if own else ("", "")
        table.add_row(name, *numbers, sources, licences)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in ("items", "MB", "kinds", "pool") else "left")
    return table

"""The words that screens are made of; each belongs to one split for good, but for a few that every screen has."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pixelword.synthetic.assets import split_of
from pixelword.synthetic.types import Split

#: Every dialog has them, in both splits.
COMMON = frozenset({"OK", "Cancel", "Close", "Yes", "No"})
#: Too few to be divided.
_SHARED = frozenset({"menus", "fields"})


@cache
def _lists() -> dict[str, tuple[str, ...]]:
    """The lists of labels.txt by their names."""
    found: dict[str, str] = {}
    name = ""
    for line in (Path(__file__).parent / "labels.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            found[name] = found.get(name, "") + " " + line
    return {name: tuple(entry.strip() for entry in text.split("|")) for name, text in found.items()}


@cache
def some(name: str, split: Split) -> tuple[str, ...]:
    """The entries of a list that a split may show."""
    return tuple(item for item in _lists()[name] if name in _SHARED or split_of(f"{name}:{item}") == split)


@cache
def intentions() -> dict[str, str]:
    """Command -> what one wants who clicks on it."""
    return dict(entry.split(" = ") for entry in _lists()["commands"])


@cache
def commands(split: Split) -> tuple[str, ...]:
    """The commands that a split may show, the common ones among them."""
    return tuple(
        intention for intention in intentions() if intention in COMMON or split_of(f"command:{intention}") == split
    )


def clear(command: str, shown: Iterable[str]) -> bool:
    """Whether a command's intention means it alone among those that are shown."""
    others = set(shown) - {command}
    groups = (set(entry.split(", ")) for entry in _lists()["alike"])
    return not any(command in group and group & others for group in groups)

"""What a pack is put together from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pixelword.synthetic.assets import Item

#: Items, each with its files by name.
Made = Iterator[tuple[Item, dict[str, bytes]]]


@dataclass(frozen=True)
class Part:
    """A part of a pack: `make` takes the archives of `packages`, in that order.

    version: raised when `make` changes what it gives, so that packs are built again.
    """

    packages: tuple[str, ...]
    make: Callable[..., Made]
    version: int = 1

"""What a port offers: any of these functions. A check that needs another one is skipped, with the reason in the table.

A port is made of a checkpoint's folder: a class, or a function that returns an object, `module:name` on the command
line. Arrays may be NumPy's or anything that `numpy.asarray` reads.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from .types import Array, Inputs, NotOffered


class Port(Protocol):
    """Every function that is used. `logits` alone is a useful port."""

    def tokens(self, prompt: str) -> Array:
        """Ids of a prompt in which control tokens stand for themselves."""

    def prompt(self, turns: list[dict[str, Any]]) -> str:
        """The prompt of `{"role", "content"}` turns; content is a string with `<image>` where an image is. How many
        `<IMG_CONTEXT>` stand for an image is not compared."""

    def resize(self, height: int, width: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
        """Height and width that an image gets."""

    def image(self, path: Path, min_pixels: int, max_pixels: int) -> tuple[Array, tuple[int, int]]:
        """`pixel_values` (patches, 768) and the patch grid of an image file."""

    def positions(self, inputs: Inputs) -> Array:
        """(3, L): t, h and w of every token."""

    def embeddings(self, pixel_values: Array, grid_hw: Array) -> Array:
        """(visual tokens, hidden_size)."""

    def logits(self, inputs: Inputs) -> Array:
        """(L, vocabulary), or (1, vocabulary) of the last token where no more can be had; packed documents where
        `inputs.starts` has several. Raise `NotOffered` for what cannot be had."""

    def batch_logits(self, rows: list[Inputs]) -> list[Array]:
        """`logits` of several sequences that are run together."""

    def chunked(self, inputs: Inputs, cuts: tuple[int, ...]) -> Array:
        """`logits`, the sequence read in pieces that end at `cuts` and go through the cache. Where a cut is inside an
        image, do what your engine does then: move it, or see that the result is the same."""

    def generate(self, inputs: Inputs, count: int) -> list[int]:
        """Greedy tokens; an end token does not end them."""


def offered(port: Any, name: str) -> Callable[..., Any]:
    """A port's function. Raises NotOffered."""
    found = getattr(port, name, None)
    if found is None:
        raise NotOffered(f"the port has no {name}()")
    return found


class Function:
    """A plain function as a port: its `logits`."""

    def __init__(self, logits: Callable[..., Any], folder: Path) -> None:
        self._logits, self._folder = logits, folder

    def logits(self, inputs: Inputs) -> Array:
        return self._logits(self._folder, inputs)


def from_name(name: str) -> Callable[[Path], Any]:
    """Of `module:name`; modules of the working directory are found. A function that takes two arguments is `logits(
    folder, inputs)`, anything else makes a port of a folder.

    Raises:
        ValueError: not of that form, or there is no such thing.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"{name!r}: give module:name")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name!r}: {error}") from error
    code = getattr(found, "__code__", None)
    if code is not None and code.co_argcount == 2:
        return lambda folder: Function(found, folder)
    return found

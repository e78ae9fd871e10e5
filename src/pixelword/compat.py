"""Differences between the supported releases of transformers and torch; no other module has any.

5.24 renamed the key-value cache: `generate` passes `cache=…` and reads `outputs.cache`, where earlier releases say
`past_key_values`. The rest of Pixelword says `cache`. Both spellings work for callers on every release.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any

from packaging.version import Version
from torch import Tensor
from transformers.cache_utils import Cache
from transformers.generation import GenerationMixin
from transformers.utils.generic import ModelOutput, TransformersKwargs

#: The newest releases that the tests pass with, by their first two numbers; the upper bounds of pyproject.toml.
NEWEST_TESTED = {"transformers": (5, 24), "torch": (2, 14)}

_OLD_NAME = "past_key_values"
#: The keyword under which this release's `generate` passes the cache.
CACHE_KEYWORD = (
    "cache" if "cache" in inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters else _OLD_NAME
)


def untested() -> dict[str, tuple[str, str]]:
    """Packages that are newer than the newest tested release: name -> (installed, newest tested)."""
    newer = {}
    for name, tested in NEWEST_TESTED.items():
        installed = version(name)
        if Version(installed).release[:2] > tested:
            newer[name] = (installed, ".".join(map(str, tested)))
    return newer


def single_cache(cache: Cache | None, past_key_values: Cache | None) -> Cache | None:
    """The cache that a caller passed under either name.

    Raises:
        ValueError: both were passed.
    """
    if cache is not None and past_key_values is not None:
        raise ValueError("cache and past_key_values are two names of one argument: pass only cache")
    return past_key_values if cache is None else cache


def with_cache_keyword(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """`kwargs` with the cache, where there is one, under the name that this release's `generate` uses.

    Raises:
        ValueError: both names hold a cache.
    """
    others = {name: value for name, value in kwargs.items() if name not in ("cache", _OLD_NAME)}
    cache = single_cache(kwargs.get("cache"), kwargs.get(_OLD_NAME))
    return others if cache is None else {**others, CACHE_KEYWORD: cache}


def check_unknown(kwargs: Mapping[str, Any], harmless: Collection[str] = ()) -> None:
    """Refuse keywords that `forward` would otherwise ignore in silence; None means "not given".

    A release that renames an argument passes it under a name unknown here, and every answer would be wrong.

    Args:
        kwargs: what is left over from the named arguments.
        harmless: names that change nothing, next to those that transformers passes to every model.

    Raises:
        TypeError: a keyword is unknown, or holds a tensor or a cache.
    """
    for name, value in kwargs.items():
        known = name in harmless or name in TransformersKwargs.__optional_keys__
        if value is not None and (not known or isinstance(value, Tensor | Cache)):
            raise TypeError(
                f"forward() does not take {name!r} (a {type(value).__name__}): leave it out; if transformers' own "
                f"generate() passed it, this release of transformers is not supported"
            )


if CACHE_KEYWORD == "cache":
    #: Base of the model's outputs, whose field `cache` also answers to `past_key_values`.
    CacheOutput = ModelOutput  # translates the old name by itself
else:

    class CacheOutput(ModelOutput):  # type: ignore[no-redef]
        """Base of the model's outputs, whose field `cache` also answers to `past_key_values`."""

        @property
        def past_key_values(self) -> Cache | None:
            return self.cache

        def __getitem__(self, key: Any) -> Any:
            return super().__getitem__("cache" if key == _OLD_NAME else key)

        def __contains__(self, key: object) -> bool:
            return super().__contains__("cache" if key == _OLD_NAME else key)

        def get(self, key: str, default: Any = None) -> Any:
            return super().get("cache" if key == _OLD_NAME else key, default)

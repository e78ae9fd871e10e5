"""Pixelword: native vision-language models, in which pixels and words are one sequence that one network reads.

Importing this package makes ``neo_chat`` known to transformers' Auto classes, so that plain
``AutoModelForImageTextToText.from_pretrained(...)`` works with no remote code (``register`` and ``unregister`` choose,
where another package has the type). That takes torch and transformers, three
to four seconds, which ``pixelword --help`` has no use for; so in the process of the console script it happens in the
verb that needs a model.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

from pixelword._version import __version__
from pixelword.lazy import lazy_names

if TYPE_CHECKING:
    from pixelword.explain import look_inside
    from pixelword.generation.chat import Chat
    from pixelword.generation.session import Answer, Session, load
    from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration, NeoOVModel, register, unregister
    from pixelword.processing.processor import NeoOVProcessor

_HOMES = {
    "Answer": "pixelword.generation.session",
    "Chat": "pixelword.generation.chat",
    "Session": "pixelword.generation.session",
    "load": "pixelword.generation.session",
    "look_inside": "pixelword.explain",
    "NeoOVConfig": "pixelword.model",
    "NeoOVForConditionalGeneration": "pixelword.model",
    "NeoOVModel": "pixelword.model",
    "NeoOVProcessor": "pixelword.processing.processor",
    "register": "pixelword.model",
    "unregister": "pixelword.model",
}

__all__ = [
    "Answer",
    "Chat",
    "NeoOVConfig",
    "NeoOVForConditionalGeneration",
    "NeoOVModel",
    "NeoOVProcessor",
    "Session",
    "__version__",
    "load",
    "look_inside",
    "register",
    "unregister",
]


__getattr__, _public = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)


def _is_console_script() -> bool:
    """True in the process that the installed ``pixelword`` command, or ``python -m pixelword``, started."""
    # "-m" stands there while Python looks for the module to run, and importing this package is part of that
    return bool(sys.argv) and PurePath(sys.argv[0]).name in {"pixelword", "pixelword.exe", "-m"}


if not _is_console_script():
    importlib.import_module("pixelword.processing.auto")

"""The fetched tests as modules, and the list of those that do not apply."""

from __future__ import annotations

import importlib
import re
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from .sources import FOLDER, PACKAGE

#: suite -> test -> why it does not apply.
NOT_APPLICABLE: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("not_applicable.yaml").read_text())


def common(module: str) -> ModuleType:
    """A file of transformers' tests; where it was not fetched, the tests that need it are skipped."""
    if not (FOLDER / "whole").exists():
        pytest.skip("transformers' own tests are not here: make test-transformers", allow_module_level=True)
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module(f"{PACKAGE}.{module}")


def without(suite: str) -> Callable[[type], type]:
    """Skip what does not apply to us, each with its reason."""

    def skip(cls: type) -> type:
        for name, reason in NOT_APPLICABLE[suite].items():
            # a parameterized test is many, each with a number behind its name
            for found in (item for item in dir(cls) if re.fullmatch(rf"{name}(_\d.*)?", item)):
                setattr(cls, found, unittest.skip(reason)(getattr(cls, found)))
        return cls

    return skip

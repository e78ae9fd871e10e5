"""Commands that a Hub makes fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def refused(pixelword: Callable[..., Any]) -> Callable[..., str]:
    """A command that ends with 2 and a single line on stderr; the line."""

    def run(*words: Any, **environment: Any) -> str:
        done = pixelword(*words, **environment)
        lines = done.stderr.splitlines()
        assert done.returncode == 2 and done.stdout == "", done
        assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
        return lines[0]

    return run

"""The tables of docs/scaling.md are what its command prints today."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_the_commands_numbers() -> None:
    spec = importlib.util.spec_from_file_location("scaling", DOCS / "scaling.py")
    assert spec is not None and spec.loader is not None
    scaling = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scaling)
    page = (DOCS / "scaling.md").read_text(encoding="utf-8")
    for size in ("2b", "9b"):
        assert scaling.scaled(size) in page, "run docs/scaling.py again and put its tables into docs/scaling.md"

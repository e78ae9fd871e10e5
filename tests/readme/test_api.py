"""The reference page says what the docstrings say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_current() -> None:
    command = [sys.executable, str(DOCS / "make_api.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_every_public_name_has_its_place() -> None:
    import pixelword

    page = (DOCS / "api.md").read_text(encoding="utf-8")
    assert [name for name in dir(pixelword) if name != "__version__" and f"### `pixelword.{name}`" not in page] == []

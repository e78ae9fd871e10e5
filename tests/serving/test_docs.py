"""The first page of docs/serving.md, run as it stands there, on another port."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_client_gets_the_answer_that_is_promised(address, tmp_path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    code = code.replace("http://127.0.0.1:8000", address)
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.stdout.strip() == code.rpartition("  # ")[2].strip(), told.stderr


def test_every_flag_on_the_page_is_one() -> None:
    command = [sys.executable, "-m", "pixelword", "serve", "--help"]
    known = subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "200"}).stdout
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert named and {flag for flag in named if flag not in known} == set()

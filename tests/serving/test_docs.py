"""The first page of docs/serving.md, run as it stands there, on another port."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_client_gets_the_answer_that_is_promised(address, tmp_path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    code = code.replace("http://127.0.0.1:8000", address)
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.stdout.strip() == code.rpartition("  # ")[2].strip(), told.stderr


#: Programs of this repository that the page tells of, beside `pixelword serve`: each has `arguments(words)`.
SCRIPTS = ("examples/batch/answer_rows.py", "benchmarks/soak.py")


def script(path: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_flag_on_the_page_is_one(monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    command = [sys.executable, "-m", "pixelword", "serve", "--help"]
    known = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}
    ).stdout
    for path in SCRIPTS:
        with pytest.raises(SystemExit):
            script(path).arguments(["--help"])
        known += capsys.readouterr().out
    ours = re.sub(r"^.*pip install.*$", "", PAGE, flags=re.MULTILINE)
    named = set(re.findall(r"--[a-z][a-z-]+", ours))
    assert named and {flag for flag in named if flag not in known} == set()


def test_every_command_of_a_script_on_the_page_is_one(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    commands = [shlex.split(line, comments=True) for line in re.findall(r"^python ((?:examples|bench).+)$", PAGE, re.M)]
    assert {path for path, *_ in commands} == set(SCRIPTS)
    for path, *words in commands:
        script(path).arguments(words)

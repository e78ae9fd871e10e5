"""The README's own commands and Python, run as they stand there; a comment behind a line that prints is its output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
RUN = [pytest.param(*block, id=f"{block[0]}-{number}") for number, block in enumerate(BLOCKS) if block[0] != "sh"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like the repository's root to a command, and may be written to."""
    for name in ("examples", "recipes"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def promised(code: str) -> list[str]:
    """What stands behind `#` on the lines of commands and of prints."""
    lines = (line for line in code.splitlines() if re.match(r"\s*(pixelword|print)\b", line) and "  # " in line)
    return [line.rpartition("  # ")[2] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(("language", "code"), RUN)
def test_a_block_runs_and_prints_what_it_promises(language: str, code: str, folder: Path) -> None:
    command = {"bash": ["bash", "-euo", "pipefail", "-c", code], "python": [sys.executable, "-c", code]}[language]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert [line for line in promised(code) if line not in printed] == []
    if language == "bash" and promised(code):
        assert printed == promised(code)


def test_what_is_not_run_is_no_command_of_ours() -> None:
    assert BLOCKS
    assert [
        code for language, code in BLOCKS if language == "sh" and re.search(r"^pixelword ", code, re.MULTILINE)
    ] == []


def test_the_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", README) + re.findall(r'src="(?!https?://)([^"]+)"', README)
    assert [target for target in targets if not (ROOT / target).exists()] == []

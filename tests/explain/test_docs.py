"""docs/explain.md: its Python runs, its commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from pixelword.cli import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^pixelword explain .+$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_can_be_read(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    group = typer.main.get_command(app)
    with group.make_context("pixelword", list(words)) as context:
        name, command, rest = group.resolve_command(context, words)
        assert name == "explain" and command.make_context(name, rest, parent=context).params["model"]


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(code.replace('"examples/', f'"{ROOT}/examples/'), found)
    assert found["found"].answer == "a yellow star" and (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")

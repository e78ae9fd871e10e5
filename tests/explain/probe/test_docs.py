"""docs/probe.md and docs/compression.md: their Python runs, their commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from pixelword.cli import app

ROOT = Path(__file__).parents[3]
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for name in ("probe", "compression")
    if (path := ROOT / "docs" / f"{name}.md").exists()
}
COMMANDS = [line for page in PAGES.values() for line in re.findall(r"^pixelword .+$", page, re.MULTILINE)]


@pytest.mark.parametrize("line", COMMANDS)
def test_their_commands_can_be_read(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    group = typer.main.get_command(app)
    with group.make_context("pixelword", list(words)) as context:
        name, command, rest = group.resolve_command(context, words)
        assert command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES)
def test_their_python_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL):
        exec(code, found)
    assert "session" in found

"""docs/benchmarks.md: its commands are commands, and it names every benchmark and both environments as they are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from pixelword.cli import app
from pixelword.evaluation.paper.benchmarks import benchmarks
from pixelword.integrations.vlmevalkit import __main__ as vlmevalkit

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(pixelword .+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_can_be_read(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    words = words[: words.index(">")] if ">" in words else words
    group = typer.main.get_command(app)
    with group.make_context("pixelword", list(words)) as context:
        name, command, rest = group.resolve_command(context, words)
        assert name in ("benchmark", "evaluate", "verify", "serve")
        assert command.make_context(name, rest, parent=context).params["model"]


def test_it_names_every_benchmark() -> None:
    assert len(COMMANDS) >= 9
    assert [benchmark.name for benchmark in benchmarks() if benchmark.name not in PAGE] == []


def test_the_runner_of_vlmevalkit_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        vlmevalkit.main(["--model", "NEOov-2B-image"])
    assert "--weights 2B=DIR" in capsys.readouterr().err

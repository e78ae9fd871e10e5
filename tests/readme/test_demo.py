"""`make demo` shows every form of asking, checks the answers, and fails where one is wrong."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pixelword.cli import app

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo.py"
QUESTIONS = runpy.run_path(str(DEMO))["QUESTIONS"]


@pytest.mark.parametrize(("words", "expected"), QUESTIONS, ids=[words[-1] for words, _ in QUESTIONS])
def test_the_demo_answers_rightly(words: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, ["ask", *words])
    assert result.exit_code == 0, result.output
    assert result.stdout == expected + "\n"


def test_the_demo_shows_every_form_of_asking() -> None:
    pictures = [sum(word.endswith(".png") for word in words) for words, _ in QUESTIONS]
    assert {0, 1, 2} <= set(pictures)
    assert any("--video" in words for words, _ in QUESTIONS)


def test_make_runs_the_demo() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ndemo:")[2].partition("\n\n")[0]
    assert "examples/demo.py" in recipe


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo red0", "✗ red0: expected red"), ("exit 2", "✗ (no answer): expected red")],
    ids=["wrong answers", "no answers"],
)
def test_the_demo_fails_where_answers_are_wrong(tmp_path: Path, script: str, said: str) -> None:
    command = tmp_path / "pixelword"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    done = subprocess.run(
        [sys.executable, DEMO, "--pixelword", command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1 and said in done.stdout and "7 of 7 answers are wrong" in done.stdout

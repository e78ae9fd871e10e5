"""`make demo` asks about a picture, two pictures, a video and words alone, and the answers are right."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pixelword.cli import app

ROOT = Path(__file__).parents[2]
ANSWERS = {
    "what colour is the circle?": "red",
    "how many objects are there?": "3",
    "what is on the left?": "a yellow star",
    "which picture has more objects?": "the second",
    "which way does it move?": "right",
    "what is 2 plus 3?": "5",
    "what is the opposite of hot?": "cold",
}


def demo() -> list[list[str]]:
    """The words of each `pixelword` command that `make demo` would run."""
    # a make that runs this test must not lend its flags to the make that is asked
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    shown = subprocess.run(["make", "-n", "demo"], cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    commands = [shlex.split(line) for line in shown.stdout.splitlines() if "pixelword ask" in line]
    return [words[1:] for words in commands]


@pytest.mark.parametrize("words", demo(), ids=lambda words: words[-1])
def test_the_demo_answers_rightly(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout == ANSWERS[words[-1]] + "\n"


def test_the_demo_shows_every_form_of_asking() -> None:
    pictures = [sum(word.endswith(".png") for word in words) for words in demo()]
    assert {0, 1, 2} <= set(pictures)
    assert any("--video" in words for words in demo())
    assert {words[-1] for words in demo()} == set(ANSWERS)

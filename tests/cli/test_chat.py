"""`pixelword chat`, through a pipe: what is typed goes in, the answers alone come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pixelword

CIRCLE = Path(__file__).parents[2] / "examples" / "red_circle.png"
CLIP = CIRCLE.with_name("moving_right.mp4")


@pytest.fixture
def talk(run: Callable[..., Any], tiny_model_dir: Path) -> Callable[..., Any]:
    return lambda *lines: run("chat", "--model", tiny_model_dir, "--max-new-tokens", 8, input="\n".join(lines) + "\n")


def test_turns_are_remembered_until_reset(talk: Callable[..., Any], tiny_model_dir: Path) -> None:
    typed = [f"/image {CIRCLE}", "what is it?", "", f"/video {CLIP}", "and now?", "/reset", "and now?", "/quit", "no?"]
    result = talk(*typed)
    chat = pixelword.load(str(tiny_model_dir), device="cpu").chat()
    expected = [chat.send("what is it?", images=[CIRCLE], max_new_tokens=8)]
    expected.append(chat.send("and now?", videos=[CLIP], max_new_tokens=8))
    chat.reset()
    expected.append(chat.send("and now?", max_new_tokens=8))
    assert result.exit_code == 0, result.output
    assert result.stdout == "".join(f"{answer}\n" for answer in expected)


def test_the_end_of_the_input_is_the_end(talk: Callable[..., Any]) -> None:
    assert talk("/help").exit_code == 0


@pytest.mark.parametrize(
    ("line", "complaint"),
    [("/imagine a.png", "there is no /imagine"), ("/image", "which file?"), ("/image no.png", "no.png: no such file")],
)
def test_a_slip_in_a_pipe_ends_it(talk: Callable[..., Any], line: str, complaint: str) -> None:
    result = talk(line, "what is it?")
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""

"""`pixelword chat`, through a pipe: what is typed goes in, the answers alone come out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pixelword
from pixelword.cli.chat import completions

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
    [
        ("/imagine a.png", "unknown command /imagine"),
        ("/image", "give the path of a file"),
        ("/image no.png", "no.png: no such file"),
    ],
)
def test_a_slip_in_a_pipe_ends_it(talk: Callable[..., Any], line: str, complaint: str) -> None:
    result = talk(line, "what is it?")
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "form", ["/image {}", "/image '{}'", '/image "{}"', "/image {escaped}", "{}", "'{}'", "{escaped}"]
)
def test_a_path_is_taken_as_a_terminal_pastes_it(
    talk: Callable[..., Any], tiny_model_dir: Path, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "with space (1).png"
    path.write_bytes(CIRCLE.read_bytes())
    line = form.format(path, escaped=re.sub(r"([ ()])", r"\\\1", str(path)))
    expected = pixelword.load(str(tiny_model_dir), device="cpu").ask("what is it?", images=[CIRCLE], max_new_tokens=8)
    assert talk(line, "what is it?").stdout == f"{expected}\n"


def test_the_system_message_changes_and_a_talk_is_saved(talk: Callable[..., Any], tmp_path: Path) -> None:
    saved = tmp_path / "talk.jsonl"
    result = talk("/system Be brief.", f"/image {CIRCLE}", "what is it?", f"/save {saved}", "/system")
    assert result.exit_code == 0 and "system message: Be brief." in result.stderr
    messages = json.loads(saved.read_text())["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[1]["content"][0] == {"type": "image", "image": str(CIRCLE)}
    assert "name a new file" in talk(f"/save {saved}").stderr


def test_lines_are_completed(tmp_path: Path) -> None:
    (tmp_path / "red circle.png").touch()
    (tmp_path / "red").mkdir()
    assert completions("/im") == ["/image "]
    assert completions(f"/image {tmp_path}/re") == [f"/image {tmp_path}/red/", f"/image {tmp_path}/red circle.png"]
    assert completions("what is it") == []

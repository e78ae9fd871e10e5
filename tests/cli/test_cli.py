"""What holds for every verb."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

import pixelword
from pixelword.cli import app
from pixelword.errors import CheckpointError

VERBS = (
    "ask",
    "batch",
    "chat",
    "info",
    "convert",
    "grow",
    "train",
    "evaluate",
    "benchmark",
    "explain",
    "probe",
    "serve",
    "verify",
    "version",
)


def test_every_verb_is_there() -> None:
    assert {command.name or command.callback.__name__ for command in app.registered_commands} == set(VERBS)  # type: ignore[union-attr]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(run: Callable[..., Any], verb: str) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert f"Example: pixelword {verb}" in result.stdout


def test_importing_the_package_registers_the_model(tiny_model_dir: Path) -> None:
    """In a fresh process, with no word of remote code."""
    code = (
        "import sys, pixelword\n"
        "from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor\n"
        "folder = sys.argv[1]\n"
        "assert type(AutoConfig.from_pretrained(folder)) is pixelword.NeoOVConfig\n"
        "assert type(AutoModelForImageTextToText.from_pretrained(folder)) is pixelword.NeoOVForConditionalGeneration\n"
        "assert type(AutoProcessor.from_pretrained(folder)) is pixelword.NeoOVProcessor\n"
    )
    command = [sys.executable, "-c", code, str(tiny_model_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_there() -> None:
    assert [name for name in pixelword.__all__ if not hasattr(pixelword, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = pixelword.lode
    assert dir(pixelword) == sorted(pixelword.__all__)


def test_the_version_is_what_a_bug_report_needs(run: Callable[..., Any]) -> None:
    rows = {line[:15].rstrip(): line[16:] for line in run("version").stdout.splitlines()}
    assert rows["pixelword"] == pixelword.__version__ and rows["transformers"] == metadata.version("transformers")
    assert rows["torch"].startswith(torch.__version__) and rows["device"].startswith(("cpu", "cuda", "mps"))
    assert rows["tested"] == "yes"
    assert {"bfloat16", "packed weights", "attention"} <= set(rows)
    assert run("--version").stdout.splitlines()[:5] == run("version").stdout.splitlines()[:5]


def test_the_version_names_what_is_newer_than_tested(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelword.compat.NEWEST_TESTED", {"transformers": (5, 0)})
    assert "no: transformers is newer than 5.0" in run("version").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ask", "--temprature", "1", "what?"), "No such option: --temprature"),
        (("ask",), "Missing argument"),
        (("explain", "a.png", "what?", "--method", "burn"), "is not one of 'mean', 'last'"),
        (("answer",), "No such command 'answer'"),
        (("data", "chek"), "No such command 'chek'"),
        (("--nothing",), "No such option: --nothing"),
    ],
)
def test_a_mistyped_command_is_told_like_any_other_error(refused: Callable[..., str], words: Any, told: str) -> None:
    line = refused(*words)
    assert told in line and line.endswith("--help")


@pytest.mark.parametrize("verb", (*VERBS, "data check", "data view", "tasks render"))
def test_help_has_whole_names_and_no_types_of_python(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    shown = run(*verb.split(), "--help", env={"COLUMNS": "80"}).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"--[a-z-]*…|<\w+(\[|>| range)|x>=", shown)


def test_debug_shows_where_an_error_comes_from(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIXELWORD_DEBUG", "1")
    with pytest.raises(CheckpointError):
        run("info", tmp_path)


def test_ctrl_c_leaves_with_130(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tiny_model_dir: Path) -> None:
    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    assert run("chat", "--model", tiny_model_dir).exit_code == 130

"""`pixelword evaluate`: tables, JSON, a folder that goes on, a card; and one line for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_a_report_a_folder_and_a_card(run: Run, tiny_model_dir: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("<!-- accuracy -->\n<!-- end -->\n")
    asked = ("evaluate", tiny_model_dir, "--suite", "nano", "--tasks", "colour", "--tasks", "text", "--questions", 3)
    result = run(*asked, "--out", tmp_path / "out", "--card", card)
    assert result.exit_code == 0, result.output
    assert "colour" in result.stdout and "without" in result.stdout
    assert "| colour | 3 |" in card.read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["answers.jsonl", "report.html", "report.json"]
    first = json.loads((tmp_path / "out" / "report.json").read_text())
    answers = (tmp_path / "out" / "answers.jsonl").read_bytes()
    assert answers.count(b"\n") == 1 + 3 * 3 + 3

    again = run(*asked, "--out", tmp_path / "out", "--json")
    assert again.exit_code == 0, again.output
    told = json.loads(again.stdout)
    assert (tmp_path / "out" / "answers.jsonl").read_bytes() == answers  # nothing was asked again
    assert told["tests"] == first["tests"] and [test["name"] for test in told["tests"]] == ["colour", "text"]
    assert told["model"]["sha256"] == first["model"]["sha256"] and told["settings"]["questions"] == 3


def test_bad_input_is_one_line(refused: Callable[..., str], tiny_model_dir: Path, tmp_path: Path) -> None:
    assert "unknown suite 'held'" in refused("evaluate", tiny_model_dir, "--suite", "held")
    assert "no test 'colours'" in refused("evaluate", "nano", "--tasks", "colours")
    card = tmp_path / "card.md"
    card.write_text("no marks")
    asked = ("evaluate", tiny_model_dir, "--suite", "nano", "--tasks", "text", "--questions", 2)
    assert "no place for the tables" in refused(*asked, "--card", card)
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(*asked, "--out", tmp_path / "file")


@pytest.mark.parametrize("given", [
    ("--suite", "paper", "--full"), ("--suite", "paper", "--peer", "nano"), ("--suite", "paper", "--card", "card.md"),
    ("--plan",), ("--sampling", "upstream"), ("--gpu", "H100"),
])  # fmt: skip
def test_an_option_of_another_suite_is_not_passed_over(refused: Callable[..., str], given: tuple[str, ...]) -> None:
    option = given[2] if given[0] == "--suite" else given[0]
    assert f"{option} is" in refused("evaluate", "nano", *given)

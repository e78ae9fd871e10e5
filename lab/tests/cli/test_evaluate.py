"""`pixelword evaluate` with the suites of the lab."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelword.synthetic.assets import write_pack

Run = Callable[..., Any]


def test_a_suite_without_its_packs_says_what_brings_them(run: Run, tiny_model_dir: Path, tmp_path: Path) -> None:
    result = run("evaluate", tiny_model_dir, "--suite", "real", "--assets", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.count("left out: ") == 4 and "pixelword tasks fetch photos" in result.stdout


def test_retrieval_is_a_suite_and_language_a_line(
    run: Run, tiny_model_dir: Path, square_packs: Path, tmp_path: Path
) -> None:
    card = tmp_path / "card.md"
    card.write_text("<!-- accuracy -->\n<!-- end -->\n")
    asked = (
        "evaluate",
        tiny_model_dir,
        "--suite",
        "retrieval",
        "--tasks",
        "names",
        "--questions",
        4,
        "--assets",
        square_packs,
    )
    result = run(*asked, "--card", card, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [(item["name"], item["pairs"]) for item in told["retrieval"]] == [("names", 4)]
    assert "| names | 4 | 25 / 100 % |" in card.read_text() and told["language"] is None
    assert "names" in (tmp_path / "out" / "report.html").read_text()

    words = tmp_path / "assets"
    write_pack(
        words / "words.zip", (({"key": f"t{n}", "text": f"text {n} of many"}, {}) for n in range(60)), licences={}
    )
    result = run("evaluate", tiny_model_dir, "--tasks", "text", "--questions", 2, "--assets", words)
    assert "Perplexity on held-out text (" in result.stdout and "left out: text" in result.stdout

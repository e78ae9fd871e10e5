"""`pixelword explain`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelword.cli import explain as verb

CIRCLE = Path(__file__).parents[2] / "examples" / "red_circle.png"


def test_a_page_is_written(run: Callable[..., Any], tiny_model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = run("explain", CIRCLE, "what?", "--model", tiny_model_dir, "--answer", "red", "--out", out)
    assert result.exit_code == 0 and result.stdout == f"red\n{out}: {out.stat().st_size / 1000:,.0f} kB\n"
    assert "Can the maps be believed?" in out.read_text(encoding="utf-8")


def test_maps_are_checked_on_drawn_questions(run: Callable[..., Any]) -> None:
    result = run("explain", "--check", 2, "--kind", "shape")
    assert result.exit_code == 0 and "shape: in" in result.stdout and "all: in" in result.stdout


def test_bad_input_is_one_line(refused: Callable[..., str], tiny_model_dir: Path) -> None:
    assert "there is no question" in refused("explain")
    assert "pixelword explain" in refused("explain", CIRCLE)
    assert "cannot be hidden" in refused(
        "explain", CIRCLE, CIRCLE, "what?", "--model", tiny_model_dir, "--answer", "a", "--occlusions", 1
    )
    assert verb.explain.__doc__ and "Example:" in verb.explain.__doc__

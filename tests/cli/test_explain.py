"""`pixelword explain`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pixelword.cli import explain as verb

CIRCLE = Path(__file__).parents[2] / "examples" / "red_circle.png"


def test_a_page_is_written(run: Callable[..., Any], tiny_model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = run("explain", CIRCLE, "what?", "--model", tiny_model_dir, "--answer", "red", "--out", out)
    assert result.exit_code == 0 and result.stdout == f"red\n{out}: {out.stat().st_size / 1000:,.0f} kB\n"
    assert "Can the maps be believed?" in out.read_text(encoding="utf-8")


def test_a_picture_is_written_and_a_page_only_where_one_is_named(
    run: Callable[..., Any], tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("explain", CIRCLE, "what?", "--model", tiny_model_dir, "--answer", "red", "--png", "look.png")
    result = run(*asked, "--method", "occlusion", "--occlusions", 4)
    assert result.exit_code == 0 and re.fullmatch(r"red\nlook\.png: \d+ kB\n", result.stdout)
    assert [item.name for item in tmp_path.iterdir()] == ["look.png"]
    both = run(*asked, "--out", "look.html", "--occlusions", 0)
    assert both.exit_code == 0 and {item.name for item in tmp_path.iterdir()} == {"look.png", "look.html"}


def test_a_picture_that_cannot_be_is_refused_before_anything_is_loaded(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    nowhere = ("--model", tmp_path / "no-model")
    assert "needs an image to paint" in refused("explain", "what?", "--png", tmp_path / "a.png", *nowhere)
    assert "no folder" in refused("explain", CIRCLE, "what?", "--png", tmp_path / "no" / "a.png", *nowhere)
    assert "name a .png file" in refused("explain", CIRCLE, "what?", "--png", tmp_path / "a.jpg", *nowhere)
    hidden = ("--method", "occlusion", "--occlusions", 0)
    assert "hides none" in refused("explain", CIRCLE, "what?", "--png", tmp_path / "a.png", *hidden, *nowhere)


def test_scoring_the_maps_has_moved_to_the_lab(refused: Callable[..., str]) -> None:
    assert "pixelword lab maps nano --questions 60" in refused("explain", "--check", 60)


def test_bad_input_is_one_line(refused: Callable[..., str], tiny_model_dir: Path) -> None:
    assert "the question is missing" in refused("explain")
    assert "pixelword explain" in refused("explain", CIRCLE)
    assert "cannot be hidden" in refused(
        "explain", CIRCLE, CIRCLE, "what?", "--model", tiny_model_dir, "--answer", "a", "--occlusions", 1
    )
    assert verb.explain.__doc__ and "Example:" in verb.explain.__doc__

"""`pixelword data stats` and `pixelword data view`, from the command line to what people read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "nano" / "sft.yaml"
NANO = (RECIPE, "--model", "nano", "--set", "data.mixture={colour: 3, text: 1}", "--set", "data.rows=2")


def test_stats_as_a_table_and_as_json(run) -> None:
    text = run("data", "stats", *NANO, "--samples", 3, "--packs", 1).stdout
    for word in ("colour", "75%", "padding", "tokens of a sample", "commonest"):
        assert word in text
    told = json.loads(run("data", "stats", *NANO, "--samples", 3, "--packs", 1, "--json").stdout)
    assert [source["name"] for source in told["sources"]] == ["colour", "text"]
    assert told["sources"][0]["tokens"]["count"] == 3 and 0 <= told["packs"]["padding"] < 1


def test_view_writes_a_page(run, tmp_path: Path) -> None:
    out = tmp_path / "pages" / "view.html"
    result = run("data", "view", *NANO, "--packs", 1, "--samples", 1, "--out", out)
    assert result.stdout.startswith(f"{out}: ") and "open it in a browser" in result.stdout
    html = out.read_text()
    assert html.startswith("<!doctype html>") and "colour 0" in html and "://" not in html.split("<script")[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("data", "stats", "no.yaml"), "cannot read the recipe"),
        (("data", "view", "no.jsonl"), "no file"),
        (("data", "view", *NANO, "--packs", 0, "--samples", 0), "no packs and no samples"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(
    refused, words: tuple[object, ...], told: str, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert told in refused(*words)

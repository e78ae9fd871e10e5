"""The page of tasks, in a browser: boxes lie on their pictures, splits can be chosen, and it fits every screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixelword.processing.videos import Video
from pixelword.synthetic.types import Question
from pixelword_lab.family import Family, Task
from pixelword_lab.preview import describe, page

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
HOSTILE = "</script><script>document.title = 'broken'</script><b>bold</b>"
BOX = (64.0, 20.0, 128.0, 80.0)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with two boxes, a clip and a text without pictures, of both splits, in two families."""
    family = Family("shapes", "Shapes", {"where": "grounding", "is": "hallucination"}, lambda *_: Task((), ()))
    picture = {"type": "image", "image": Image.new("RGB", (256, 160), "navy")}
    clip = Video(tuple(Image.new("RGB", (96, 64), "teal") for _ in range(12)), tuple(map(float, range(12))), 12.0)
    asked = (
        Question("where", "Where is it?", "<box>[[250, 125, 500, 500]]</box>", "point", boxes=((0, BOX),)),
        Question("is", HOSTILE, "word " * 400, choices=("yes", "no"), absent=True, boxes=((0, (0, 0, 20, 20)),)),
    )
    tasks = (
        ("train", Task((picture,), asked, ("emoji:1F34E",))),
        ("test", Task(({"type": "video", "video": clip},), asked[:1])),
        ("train", Task((), (Question("is", "A text.", "yes"),))),
    )
    cards = [{"split": split, "number": number, **describe(task, family)} for number, (split, task) in enumerate(tasks)]
    kinds = [{"name": "where", "category": "grounding", "count": 2}]
    item = {"name": "shapes", "title": "Shapes", "kinds": kinds, "missing": "", "cards": cards}
    lost = {"name": "lost", "title": "Lost", "kinds": [], "missing": "emoji.zip is missing", "cards": []}
    path = tmp_path_factory.mktemp("page") / "tasks.html"
    path.write_text(page([item, lost]), encoding="utf-8")
    return path


@pytest.fixture
def opened(open_file: Callable[..., Any], page_file: Path) -> Callable[..., Any]:
    """The page in a window."""
    return partial(open_file, page_file)


def test_a_box_lies_where_it_is_in_the_picture(opened: Callable[..., Any]) -> None:
    for viewport in (DESKTOP, PHONE):
        shown = opened(viewport=viewport)
        image, box = (shown.locator(name).first.bounding_box() for name in (".shown img", ".box"))
        scale = image["width"] / 256
        found = (box["x"] - image["x"], box["y"] - image["y"], box["x"] + box["width"] - image["x"])
        assert found == pytest.approx([BOX[0] * scale, BOX[1] * scale, BOX[2] * scale], abs=1.0)
        dashed = shown.locator(".box.dashed").first.bounding_box()
        assert dashed["x"] == pytest.approx(box["x"], abs=1.0) and dashed["height"] == pytest.approx(
            box["height"], abs=1
        )


def test_a_question_that_is_looked_at_shows_its_own_boxes(opened: Callable[..., Any]) -> None:
    shown = opened()
    shown.locator(".card").first.locator("li").nth(1).hover()
    away = shown.locator(".card").first.locator(".box.away").count()
    assert away == 2 and shown.locator(".card").first.locator(".box").count() == 3
    shown.locator("h1").hover()
    assert shown.locator(".box.away").count() == 0


def test_a_split_can_be_chosen(opened: Callable[..., Any]) -> None:
    shown = opened()
    assert shown.locator(".card:visible").count() == 3
    shown.get_by_label("test").check()
    assert shown.locator(".card:visible h3 span").all_inner_texts() == ["shapes 1"]
    shown.get_by_label("both").check()
    assert shown.locator(".card:visible").count() == 3


def test_hostile_words_stay_words(opened: Callable[..., Any]) -> None:
    shown = opened()
    assert shown.title() == "Tasks" and HOSTILE in shown.locator(".question").all_inner_texts()
    assert shown.locator("main b:text('bold')").count() == 0


def test_a_family_that_could_not_be_drawn_says_why(opened: Callable[..., Any]) -> None:
    assert opened().locator("#lost .fault").inner_text() == "emoji.zip is missing"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(opened: Callable[..., Any], viewport: dict[str, int], scheme: str) -> None:
    shown = opened(viewport=viewport, color_scheme=scheme)
    assert shown.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    right = "Math.max(...[...document.querySelectorAll('.card, .card p')].map(c => c.getBoundingClientRect().right))"
    assert shown.evaluate(right) <= viewport["width"]
    colours = """() => ["color", "background-color"].map(name => {
        const parts = getComputedStyle(document.body).getPropertyValue(name).match(/\\d+/g).slice(0, 3);
        return parts.reduce((sum, one) => sum + +one, 0) / 765;
    })"""
    ink, ground = shown.evaluate(colours)
    assert abs(ink - ground) > 0.7 and (ground > 0.5) == (scheme == "light")
    assert shown.locator(".clip .shown").count() == 8

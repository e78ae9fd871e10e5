"""Screens: what the DOM says is what the pixels show, and training shares no words with the test."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from drawn_tasks import image_of, questions_of, write_pool

from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.synthetic.assets import Assets, write_pack
from pixelword_lab.drawing import pages
from pixelword_lab.families.screens import FAMILY, POOL, _templates, render_item
from pixelword_lab.families.screens.content import _MAKERS, CALLED, Source
from pixelword_lab.families.screens.lists import COMMON, clear, commands, some
from pixelword_lab.families.screens.theme import draw_theme
from pixelword_lab.family import Task, draw

DRAWS = 160
ITEMS = 45


@pytest.fixture(scope="module")
def browser() -> Iterator[pages.Browser]:
    """The browser of this process, ended with its tests: later ones start their own."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if pages.program() is None:
        pytest.skip("needs Chromium, which is not installed: apt-get install chromium")
    yield pages.browser()
    pages.close_browser()


@pytest.fixture(scope="module")
def assets(browser: pages.Browser, tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """Words, tables, and a pool of screens of them."""
    folder = tmp_path_factory.mktemp("assets")
    animals, places = ("cat", "dog", "owl", "fox", "hen"), ("house", "garden", "barn", "wood", "town")
    sentences = [f"The {animal} sleeps in the {place}. Nobody wakes it" for animal in animals for place in places]
    documents = ({"key": f"text {n}", "text": text} for n, text in enumerate(sentences))
    write_pack(folder / "words.zip", ((document, {}) for document in documents), licences={})
    tables = (
        {"key": f"table {n}", "title": f"Fares of line {n}", "columns": ["stop", "fare", "riders"],
         "rows": [[f"Stop {n}{stop}", 2.5 + (7 * n + 3 * i) % 11, 100 + (13 * n + 29 * i) % 97]
                  for i, stop in enumerate("abcdefgh")]}
        for n in range(30)
    )  # fmt: skip
    write_pack(folder / "tables.zip", ((table, {}) for table in tables), licences={})
    return write_pool(folder, POOL, render_item, ITEMS, test_every=4)


@pytest.fixture(scope="module")
def tasks(assets: Assets) -> list[Task]:
    return [draw("screens", seed, "train", assets) for seed in range(DRAWS)]


def shoot(kind: str, seed: int, assets: Assets, **theme: Any) -> tuple[Any, np.ndarray, list[pages.Element]]:
    """A page of this kind on the first of some widths that it fits: what was written, its pixels, its elements."""
    rng = Random(seed)
    page = _MAKERS[kind](Source(rng, "train", assets))
    look = {**draw_theme(rng, "train", assets)[0], **theme}
    html = _templates().get_template(f"{page.template}.html").render(**page.words, theme=look)
    shots = (pages.browser().shoot(html, width) for width in (360, 480, 600))
    picture, elements = next(shot for shot in shots if shot is not None)
    return page, np.asarray(picture).astype(int), elements


def test_boxes_and_states_are_those_of_the_dom(browser: pages.Browser) -> None:
    html = """<body style="margin:0;height:120px;background:#fff"><div data-role="row" data-name="red"
      style="position:absolute; left:30px;top:20px;width:50px;height:40px;background:#f00"></div>
      <button data-role="button" disabled>Go</button><input data-role="field" data-name="Town" value="Ghent">
      <input type="checkbox" data-role="checkbox" data-name="on" checked>"""
    shot = browser.shoot(html, 300)
    assert shot is not None
    picture, elements = shot
    named = {element.name: element for element in elements}
    assert picture.size == (300, 120) and named["red"].box == (30, 20, 80, 60)
    reds = np.argwhere((np.asarray(picture) == (255, 0, 0)).all(axis=2))
    assert (reds.min(axis=0) == (20, 30)).all() and (reds.max(axis=0) == (59, 79)).all()
    assert named["Go"].disabled and named["Town"].text == "Ghent" and named["on"].checked
    assert browser.shoot("<body><p style='width: 900px'>wide</p>", 300) is None
    assert browser.shoot("<body style='height: 5000px'>tall", 300) is None


@pytest.mark.parametrize("kind", ["tasks", "settings"])
def test_what_is_checked_shows_its_colour(browser: pages.Browser, assets: Assets, kind: str) -> None:
    seen = Counter[bool]()
    for seed in range(6):
        _, pixels, elements = shoot(kind, seed, assets, accent="#ff00ff", ground="#ffffff", card="#ffffff")
        for element in elements:
            if element.role in ("checkbox", "switch") and not element.disabled:
                left, top, right, bottom = map(int, element.box)
                inside = pixels[top:bottom, left:right]
                ticked = bool((np.abs(inside - (255, 0, 255)).sum(axis=2) < 60).any())
                assert ticked == element.checked, element
                seen[ticked] += 1
    assert seen[True] and seen[False]


def test_a_receipt_adds_up(browser: pages.Browser, assets: Assets) -> None:
    for seed in range(4):
        page, _, elements = shoot("receipt", seed, assets)
        prices = [element.text for element in elements if element.ask and re.search(r"\d\.\d\d$", element.text)]
        cents = [round(100 * float(re.sub(r"[^\d.]", "", price))) for price in prices]
        *lines, subtotal, tax, total = cents
        assert sum(lines) == subtotal and subtotal + tax == total
        dearest = next(answer for kind, words, answer, _ in page.known if words.startswith("What costs most"))
        rows = [element.name for element in elements if element.role == "row"]
        assert rows[lines.index(max(lines))] == dearest
        assert ("number of", str(len(rows))) in [(kind, answer) for kind, _, answer, _ in page.known]


def test_a_folder_knows_its_largest_file(browser: pages.Browser, assets: Assets) -> None:
    for seed in range(3):
        page, _, elements = shoot("files", seed, assets)
        asks = [element for element in elements if element.text.endswith(" kB")]
        sizes = {ask.ask.split("How large is ")[1].split("?")[0]: int(ask.text[:-3]) for ask in asks}
        answers = {words.split("|")[0]: answer for _, words, answer, _ in page.known}
        assert answers["Which file is the largest?"] == max(sizes, key=lambda name: sizes[name])
        assert answers["How many files are there?"] == str(len(sizes))


@pytest.mark.parametrize("kind", sorted(CALLED))
def test_every_page_is_drawn_with_words_in_all_its_boxes(browser: pages.Browser, assets: Assets, kind: str) -> None:
    _, pixels, elements = shoot(kind, 1, assets)
    assert elements
    height, width = pixels.shape[:2]
    for element in elements:
        left, top, right, bottom = element.box
        assert 0 <= left < right <= width and 0 <= top < bottom <= height, element
        if element.text:
            inside = pixels[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            assert np.ptp(inside.sum(axis=2)) > 60, element


def test_every_kind_of_question_is_asked(tasks: list[Task]) -> None:
    seen = Counter(question.kind for task in tasks for question in task.questions)
    assert set(seen) == set(FAMILY.kinds)
    assert all(1 <= len(task.questions) <= 5 for task in tasks)
    assert set(Counter(item.answer for _, item in questions_of(tasks, "exists"))) == {"yes", "no"}
    sizes = [image_of(task).size for task in tasks]
    assert all(96 <= side <= 1024 for size in sizes for side in size)
    assert np.mean([width * height / 1024 for width, height in sizes]) < 250


def test_points_lie_on_what_they_name(tasks: list[Task]) -> None:
    found = questions_of(tasks, "point")
    assert len(found) > 20
    for task, item in found:
        match = re.fullmatch(r"<ref>(.+)</ref><box>\[\[(\d+), (\d+), (\d+), (\d+)\]\]</box>", item.answer)
        assert match is not None and item.metric == "point"
        width, height = image_of(task).size
        x = (int(match[2]) + int(match[4])) / 2000 * width
        y = (int(match[3]) + int(match[5])) / 2000 * height
        ((_, (left, top, right, bottom)),) = item.boxes
        assert left < x < right and top < y < bottom


def test_what_is_said_to_be_there_is_there(assets: Assets) -> None:
    items = {tuple(item["assets"]): item for item in assets.pack(POOL).items}
    checked = 0
    for seed in range(DRAWS):
        task = draw("screens", seed, "train", assets)
        if sum(tuple(item["assets"]) == task.assets for item in items.values()) != 1 or not task.assets:
            continue
        names = [element["name"] for element in items[task.assets]["elements"]]
        for question in task.questions:
            if question.kind == "exists":
                called = re.search(r'"(.+)"|called (.+?)\??$', question.question)
                assert called is not None
                assert (question.answer == "yes") == ((called[1] or called[2]) in names), (question, names)
                assert question.absent == (question.answer == "no")
                checked += 1
    assert checked > 5


def test_no_question_is_given_away(tasks: list[Task]) -> None:
    for task in tasks:
        said = ""
        for question in task.questions:
            if question.kind == "label":
                assert f">{question.answer}<" not in said and f'"{question.answer}"' not in said
            if question.kind == "exists" and question.answer == "yes":
                called = re.search(r'"(.+)"', question.question)
                assert called is None or f"<ref>{called[1]}</ref>" not in said
            said += f" {question.question} {question.answer}"
        assert len({question.question.lower() for question in task.questions}) == len(task.questions)


def test_splits_share_no_words_and_seeds_repeat(assets: Assets, tasks: list[Task]) -> None:
    assert not set(commands("train")) & set(commands("test")) - COMMON
    for name in ("goods", "first names", "options", "nouns"):
        assert some(name, "test") and not set(some(name, "train")) & set(some(name, "test"))
    taught = {asset for task in tasks for asset in task.assets}
    tested = {asset for seed in range(DRAWS) for asset in draw("screens", seed, "test", assets).assets}
    assert taught and tested and not taught & tested
    for seed in range(5):
        again = draw("screens", seed, "train", Assets(assets.folder))
        assert again.questions == tasks[seed].questions
        assert image_of(again).tobytes() == image_of(tasks[seed]).tobytes()


def test_a_screen_is_drawn_the_same_again(browser: pages.Browser, assets: Assets, tmp_path: Path) -> None:
    bare = Assets(tmp_path)  # without packs, pages are made of the package's own words
    item, same = (render_item(Random(4), "train", bare) for _ in range(2))
    assert item == same


def test_alike_commands_are_told_apart_by_name() -> None:
    assert clear("Print", ["Print", "OK"]) and not clear("OK", ["OK", "Confirm"])


def test_samples_go_through_the_processor(tasks: list[Task], tiny_tokenizer: Any) -> None:
    processor = NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=512 * 512), tiny_tokenizer)
    for task in tasks[:6]:
        assert len(processor.encode(task.sample().messages).input_ids) > 50

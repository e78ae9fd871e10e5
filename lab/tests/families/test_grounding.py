"""Grounding: a box in an answer holds what was asked for, and a box in a question holds what is answered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest
from PIL import Image

from pixelword.synthetic.assets import Assets
from pixelword_lab.families.grounding import FAMILY, NOTHING
from pixelword_lab.family import Task, draw

Find = Callable[[Image.Image, str], list[tuple[int, int, int, int]]]
DRAWS = 140


@pytest.fixture(scope="module")
def tasks(disc_assets: Assets) -> list[Task]:
    return [draw("grounding", seed, "train", disc_assets) for seed in range(DRAWS)]


def _box(text: str, picture: Image.Image) -> tuple[float, ...]:
    numbers = [int(number) for number in re.search(r"<box>\[\[(.*?)\]\]</box>", text)[1].split(", ")]  # type: ignore[index]
    assert all(0 <= number <= 1000 for number in numbers)
    sides = (picture.width, picture.height) * 2
    return tuple(number / 1000 * side for number, side in zip(numbers, sides, strict=True))


def _iou(item: tuple[float, ...], other: tuple[float, ...]) -> float:
    across = max(0.0, min(item[2], other[2]) - max(item[0], other[0]))
    down = max(0.0, min(item[3], other[3]) - max(item[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (item, other))
    return across * down / (areas - across * down)


def test_boxes_hold_what_they_are_said_to_hold(
    tasks: list[Task], discs: Find, mentioned: Callable[[str], list[str]]
) -> None:
    checked: Counter[str] = Counter()
    for task in tasks:
        if any(asset.startswith("shape:") for asset in task.assets):
            continue
        picture: Image.Image = task.media[0]["image"]
        for question in task.questions:
            asked = mentioned(question.question)
            if question.kind == "find_absent":
                assert question.answer == NOTHING and question.absent
                assert not any(discs(picture, name) for name in asked)
                checked[question.kind] += 1
                continue
            named = mentioned(question.answer) or asked
            if question.kind == "colour" or not named:
                continue
            box = _box(question.answer if "<box>" in question.answer else question.question, picture)
            fits = max((_iou(box, found) for found in discs(picture, named[0])), default=0.0)
            assert fits > 0.8 if question.answer != "no" else fits < 0.1, (question, fits)
            checked[question.kind] += 1
    assert set(checked) == set(FAMILY.kinds) - {"colour"}


def test_the_outermost_and_the_largest_are_that(
    tasks: list[Task], discs: Find, disc_colours: dict[str, object]
) -> None:
    checked = 0
    for task in tasks:
        picture: Image.Image = task.media[0]["image"]
        for question in task.questions:
            match = re.search(
                r"(leftmost|rightmost|topmost|lowest|largest) (.+?)[?.]?( Answer .*)?$", question.question
            )
            if match is None or match[2] not in disc_colours:
                continue
            key = {
                "leftmost": lambda b: b[0] + b[2], "rightmost": lambda b: -b[0] - b[2],
                "topmost": lambda b: b[1] + b[3], "lowest": lambda b: -b[1] - b[3],
                "largest": lambda b: (b[0] - b[2]) * (b[3] - b[1]),
            }[match[1]]  # fmt: skip
            right = min(discs(picture, match[2]), key=key)
            assert _iou(_box(question.answer, picture), right) > 0.8, question
            checked += 1
    assert checked >= 5


def test_a_thing_is_asked_about_once(tasks: list[Task]) -> None:
    for task in tasks:
        boxes = [question.boxes[0] for question in task.questions if question.boxes]
        assert len(set(boxes)) == len(boxes), task.questions


def test_seeds_repeat_and_splits_share_no_asset(disc_assets: Assets, tasks: list[Task]) -> None:
    again = draw("grounding", 3, "train", Assets(disc_assets.folder))
    assert again.questions == tasks[3].questions
    assert again.media[0]["image"].tobytes() == tasks[3].media[0]["image"].tobytes()
    taught = {asset for task in tasks for asset in task.assets}
    tested = {asset for seed in range(50) for asset in draw("grounding", seed, "test", disc_assets).assets}
    assert tested and not taught & tested


def test_every_kind_is_drawn_and_absence_is_no_habit(tasks: list[Task]) -> None:
    asked = Counter(question.kind for task in tasks for question in task.questions)
    assert set(asked) == set(FAMILY.kinds)
    assert asked["find_absent"] < asked["find"] + asked["find_by"]
    inside = Counter(question.answer for task in tasks for question in task.questions if question.kind == "inside")
    assert 0.35 < inside["yes"] / (inside["yes"] + inside["no"]) < 0.65

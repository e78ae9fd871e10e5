"""Scenes: what is answered is what a search by colour finds in the picture; splits share nothing; seeds repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Question
from pixelword.synthetic.wording import plural
from pixelword_lab.families.counting import MOST
from pixelword_lab.families.scenes import FAMILY
from pixelword_lab.family import Task, draw

Find = Callable[[Image.Image, str], list[tuple[int, int, int, int]]]
DRAWS = 160


@pytest.fixture(scope="module")
def tasks(disc_assets: Assets) -> list[Task]:
    return [draw("scenes", seed, "train", disc_assets) for seed in range(DRAWS)]


def _middle(box: tuple[int, ...]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _answer(question: Question, picture: Image.Image, names: list[str], discs: Find) -> str | None:
    """What somebody answers who sees colours only; None for what that does not tell."""
    seen = {name: discs(picture, name) for name in names}
    if question.kind == "exists" and names:
        return "yes" if seen[names[0]] else "no"
    if question.kind == "count" and names:
        return str(len(seen[names[0]]))
    if question.kind in ("what", "beside") and question.boxes:
        return None
    if not names or not all(len(boxes) == 1 for boxes in seen.values()):
        return None
    (x, y), *others = (_middle(seen[name][0]) for name in names)
    if question.kind == "where":
        row = ("top ", "", "bottom ")[min(2, int(3 * y / picture.height))]
        column = ("left", "", "right")[min(2, int(3 * x / picture.width))]
        return (row + column).strip() or "centre"
    if question.kind in ("side", "related") and others:
        across, down = x - others[0][0], y - others[0][1]
        side = ("right" if across > 0 else "left") if abs(across) > abs(down) else ("below" if down > 0 else "above")
        if question.kind == "side":
            return (
                side if question.question.lower().index(names[0]) < question.question.lower().index(names[1]) else None
            )
        asked = next(word for word in ("left", "right", "above", "below") if word in question.question)
        return "yes" if asked == side else "no"
    if question.kind == "larger" and others:
        return max(names, key=lambda name: seen[name][0][2] - seen[name][0][0])
    return None


def test_answers_are_what_the_picture_shows(
    tasks: list[Task], discs: Find, mentioned: Callable[[str], list[str]]
) -> None:
    checked: Counter[str] = Counter()
    for task in tasks:
        picture: Image.Image = task.media[0]["image"]
        for question in task.questions:
            if any(f" {form} " in f" {question.question} " for form in ("seen from", "side of", "relative to")):
                continue
            right = _answer(question, picture, mentioned(question.question), discs)
            if right is not None and not any(asset.startswith("shape:") for asset in task.assets):
                assert question.answer == right, (question, task.assets)
                checked[question.kind] += 1
    assert set(checked) >= {"exists", "count", "where", "related", "larger"}, checked
    assert sum(checked.values()) > DRAWS


def test_boxes_are_where_the_things_are(tasks: list[Task], discs: Find, disc_colours: dict[str, Any]) -> None:
    checked = 0
    for task in tasks:
        if any(asset.startswith("shape:") for asset in task.assets):
            continue
        for question in task.questions:
            name = {plural(name): name for name in disc_colours}.get(question.answer, question.answer)
            if question.kind in ("what", "beside") and name in disc_colours:
                (x1, y1, x2, y2), *_ = discs(task.media[0]["image"], name)
                asked = question.boxes[0][1]
                assert len(question.boxes) > 2 or all(
                    abs(a - b) <= 4 for a, b in zip(asked, (x1, y1, x2, y2), strict=True)
                ), question
                checked += 1
    assert checked > 10


def test_seeds_repeat_bit_for_bit(disc_assets: Assets) -> None:
    for split in ("train", "test"):
        item, again = (draw("scenes", 5, split, Assets(disc_assets.folder)) for _ in range(2))
        assert item.questions == again.questions
        assert item.media[0]["image"].tobytes() == again.media[0]["image"].tobytes()


def test_splits_share_no_asset(disc_assets: Assets, tasks: list[Task]) -> None:
    taught = {asset for task in tasks for asset in task.assets}
    tested = {asset for seed in range(60) for asset in draw("scenes", seed, "test", disc_assets).assets}
    assert taught and tested and not taught & tested
    assert any(asset.startswith("shape:") for asset in tested)


def test_every_kind_is_drawn_and_yes_is_as_likely_as_no(tasks: list[Task]) -> None:
    asked = Counter(question.kind for task in tasks for question in task.questions)
    assert set(asked) == set(FAMILY.kinds)
    answers = Counter(question.answer for task in tasks for question in task.questions if question.kind == "exists")
    assert 0.38 < answers["yes"] / (answers["yes"] + answers["no"]) < 0.62
    counts = Counter(question.answer for task in tasks for question in task.questions if question.kind == "count")
    assert set(counts) == {str(number) for number in range(MOST + 1)}


def test_pictures_have_sizes_that_training_can_pay_for(tasks: list[Task]) -> None:
    sizes = [task.media[0]["image"].size for task in tasks]
    assert all(96 <= side <= 1024 for size in sizes for side in size)
    tokens = [width * height / 32**2 for width, height in sizes]
    assert 60 < sum(tokens) / len(tokens) < 250
    assert all(1 <= len(task.questions) <= 5 for task in tasks)


def test_nothing_is_asked_that_was_told(tasks: list[Task], mentioned: Callable[[str], list[str]]) -> None:
    for task in tasks:
        told: set[str] = set()
        for question in task.questions:
            names = mentioned(question.question)
            if question.kind in ("exists", "what", "beside"):
                hidden = names if question.kind == "exists" else mentioned(question.answer)
                assert not told & set(hidden), task.questions
            told |= set(names) | (set(mentioned(question.answer)) if question.answer not in ("yes", "no") else set())
        assert len({question.question for question in task.questions}) == len(task.questions)

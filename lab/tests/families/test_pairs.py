"""Several pictures: what is answered is what a search by colour finds in them; yes is as often right as no."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest
from PIL import Image

from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Box, Question, Split
from pixelword_lab.families.pairs import FAMILY, ORDINALS
from pixelword_lab.family import Task, draw

Find = Callable[[Image.Image, str], list[tuple[int, int, int, int]]]
DRAWS = 240


@pytest.fixture(scope="module")
def tasks(disc_assets: Assets) -> list[Task]:
    return [draw("pairs", seed, "train", disc_assets) for seed in range(DRAWS)]


def _pictures(task: Task) -> list[Image.Image]:
    return [part["image"] for part in task.media]


def _right(question: Question, pictures: list[Image.Image], name: str, discs: Find) -> str | None:
    """What somebody answers who sees colours only; None for what that does not tell."""
    seen = [discs(picture, name) for picture in pictures]
    if question.kind == "count":
        return str(len(seen[next(n for n, word in enumerate(ORDINALS) if word in question.question.lower())]))
    if question.kind == "more":
        wanted = (min if "fewer" in question.question else max)(map(len, seen))
        return ORDINALS[[len(boxes) for boxes in seen].index(wanted)]
    if question.kind == "shows":
        where = [bool(boxes) for boxes in seen]
        if not any(where):
            return "neither" if len(where) == 2 else "none"
        return "both" if where == [True, True] else ORDINALS[where.index(True)]
    if question.kind == "way" and len(seen[0]) == len(seen[1]) == 1:
        (x1, y1), (x2, y2) = ((box[0] + box[2], box[1] + box[3]) for [box] in seen)
        if abs(x2 - x1) > abs(y2 - y1):
            return "right" if x2 > x1 else "left"
        return "down" if y2 > y1 else "up"
    if question.kind == "changed" and "moved" not in question.answer:
        counts = [len(boxes) for boxes in seen]
        if counts == [0, 1]:
            return f"{question.answer.split()[0]} {name} was added"
        return f"the {name} was removed" if counts == [1, 0] else None
    if question.kind in ("added", "removed", "common"):
        expected = {"added": [False, True], "removed": [True, False], "common": [True, True]}[question.kind]
        return name if [bool(boxes) for boxes in seen] == expected else "another thing"
    return None


def _at_edge(box: Box, picture: Image.Image) -> bool:
    return min(box[0], box[1], picture.width - box[2], picture.height - box[3]) < 4


def test_answers_are_what_the_pictures_show(
    tasks: list[Task], discs: Find, mentioned: Callable[[str], list[str]]
) -> None:
    checked: Counter[str] = Counter()
    for task in tasks:
        if any(asset.startswith("shape:") for asset in task.assets):
            continue
        for question in task.questions:
            if any(_at_edge(box, _pictures(task)[number]) for number, box in question.boxes):
                continue  # there the search by colour is not sure
            names = mentioned(f"{question.question} {question.answer}")
            right = _right(question, _pictures(task), names[0], discs) if len(names) == 1 else None
            if right is not None:
                assert question.answer == right, (question, task.assets)
                checked[question.kind] += 1
    assert set(checked) >= {"count", "more", "shows", "way", "changed", "common"}, checked
    assert sum(checked.values()) > DRAWS / 3


def test_same_is_the_same_to_the_pixel(tasks: list[Task]) -> None:
    answers: Counter[str] = Counter()
    for task in tasks:
        for question in task.questions:
            if question.kind == "same":
                before, after = _pictures(task)
                assert (before.tobytes() == after.tobytes()) == (question.answer == "yes")
                answers[question.answer] += 1
            if question.kind == "changed" and question.answer == "nothing":
                assert _pictures(task)[0].tobytes() == _pictures(task)[1].tobytes()
    assert min(answers.values()) > 0.3 * sum(answers.values()), answers


def test_nothing_is_given_away(tasks: list[Task]) -> None:
    """Whether something changed, and what, is asked before anything that presupposes it."""
    telling = {"same", "changed", "added", "removed", "moved", "way", "recoloured"}
    for task in tasks:
        kinds = [question.kind for question in task.questions]
        for place, kind in enumerate(kinds):
            if kind in ("same", "changed"):
                assert not telling & set(kinds[:place]), task.questions
        counted = [
            re.sub(r"\W", " ", question.question) for question in task.questions if question.kind in ("count", "more")
        ]
        assert len(counted) == len(set(counted))


def test_form_kinds_and_sizes(tasks: list[Task]) -> None:
    # discs look the same however they are turned
    assert {question.kind for task in tasks for question in task.questions} == set(FAMILY.kinds) - {"turned"}
    for task in tasks:
        assert 2 <= len(task.media) <= 3 and 1 <= len(task.questions) <= 4
        for picture in _pictures(task):
            assert picture.mode == "RGB" and min(picture.size) >= 96 and max(picture.size) <= 1024
        for question in task.questions:
            assert question.answer and (
                not question.choices or question.answer in question.choices or question.answer == "none"
            )
            for number, (x1, y1, x2, y2) in question.boxes:
                width, height = _pictures(task)[number].size
                assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height


def test_splits_share_no_asset_and_seeds_repeat(disc_assets: Assets) -> None:
    def used(split: Split) -> set[str]:
        return {asset for seed in range(60) for asset in draw("pairs", seed, split, disc_assets).assets}

    assert used("train") and not used("train") & used("test")
    for seed in range(20):
        once, again = (draw("pairs", seed, "test", disc_assets) for _ in range(2))
        assert once.questions == again.questions
        assert [picture.tobytes() for picture in _pictures(once)] == [picture.tobytes() for picture in _pictures(again)]


def test_a_task_can_be_encoded(tasks: list[Task], tiny_tokenizer) -> None:  # type: ignore[no-untyped-def]
    processor = NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=1 << 20), tiny_tokenizer)
    inputs = processor.apply_chat_template(
        list(tasks[0].sample().messages), tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert len(inputs["image_grid_hw"]) == len(tasks[0].media)

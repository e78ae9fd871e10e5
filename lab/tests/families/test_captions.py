"""Captions: they name what a search by colour finds, from left to right; a "no" is no other name of the thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pixelword.synthetic.assets import Assets
from pixelword_lab.drawing.backgrounds import NAMED
from pixelword_lab.families.captions import FAMILY, GROUNDS
from pixelword_lab.family import Task, draw

Find = Callable[[Image.Image, str], list[tuple[int, int, int, int]]]
DRAWS = 160


@pytest.fixture(scope="module")
def tasks(disc_assets: Assets) -> list[Task]:
    return [draw("captions", seed, "train", disc_assets) for seed in range(DRAWS)]


def test_captions_name_what_is_there_from_left_to_right(
    tasks: list[Task], discs: Find, mentioned: Callable[[str], list[str]], disc_colours: dict[str, object]
) -> None:
    checked = 0
    for task in tasks:
        if any(asset.startswith("shape:") for asset in task.assets):
            continue
        picture: Image.Image = task.media[0]["image"]
        for question in task.questions:
            if question.kind in ("caption", "name", "choice"):
                boxes = {name: discs(picture, name) for name in mentioned(question.answer)}
                assert all(len(found) == 1 for found in boxes.values()), (question, boxes)
                lefts = [found[0][0] + found[0][2] for found in boxes.values()]
                assert lefts == sorted(lefts) and len(lefts) == len(question.boxes)
                checked += 1
            if question.kind == "is":
                assert (question.answer == "yes") == any(
                    discs(picture, name) for name in mentioned(question.question)
                ), question
                checked += 1
    assert checked > DRAWS / 2


def test_a_ground_is_told_alike_by_caption_and_answer(tasks: list[Task]) -> None:
    assert set(GROUNDS) == set(NAMED)
    told = [question.answer for task in tasks for question in task.questions if question.kind == "ground"]
    assert set(told) & set(GROUNDS.values())
    captions = [question.answer for task in tasks for question in task.questions if question.kind == "caption"]
    assert any(answer.endswith(where) for answer in captions for where in NAMED.values())


def test_every_kind_is_drawn_and_choices_hold_the_answer(tasks: list[Task]) -> None:
    questions = [question for task in tasks for question in task.questions]
    assert {question.kind for question in questions} == set(FAMILY.kinds)
    assert all(question.answer in question.choices for question in questions if question.choices)
    answers = Counter(question.answer for question in questions if question.kind == "is")
    assert 0.35 < answers["yes"] / (answers["yes"] + answers["no"]) < 0.65


def test_no_name_is_asked_for_after_it_was_told(tasks: list[Task]) -> None:
    for task in tasks:
        kinds = [(question.kind, question.answer) for question in task.questions]
        told = [number for number, kind in enumerate(kinds) if kind == ("is", "yes") or kind[0] in ("name", "choice")]
        assert all(
            kind[0] not in ("name", "choice", "is", "caption", "sort") for kind in kinds[min(told, default=9) + 1 :]
        )
        assert task.questions


def test_seeds_repeat_and_splits_share_no_asset(disc_assets: Assets, tasks: list[Task]) -> None:
    again = draw("captions", 7, "train", Assets(disc_assets.folder))
    assert again.questions == tasks[7].questions
    assert again.media[0]["image"].tobytes() == tasks[7].media[0]["image"].tobytes()
    tested = {asset for seed in range(50) for asset in draw("captions", seed, "test", disc_assets).assets}
    assert tested and not {asset for task in tasks for asset in task.assets} & tested


def test_a_task_is_encoded_for_the_model(tasks: list[Task], tiny_model_dir: Path) -> None:
    from pixelword import NeoOVProcessor

    processor = NeoOVProcessor.from_pretrained(tiny_model_dir)
    messages = list(tasks[0].sample().messages)
    encoded = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt")
    assert encoded["input_ids"].shape[1] > 20 and len(encoded["pixel_values"])

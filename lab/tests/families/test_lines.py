"""Text in pictures: answers follow from what was written, boxes hold ink, splits share nothing, seeds repeat."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest

from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Question, Split
from pixelword_lab.families.lines import FAMILY, ORDINALS
from pixelword_lab.families.lines.pages import Page, draw_page
from pixelword_lab.family import Task, draw

DRAWS = 220


@pytest.fixture(scope="module")
def drawn(word_assets: Assets) -> list[tuple[Page, Task]]:
    """The tasks with the pages that they are about, drawn by themselves."""
    return [
        (draw_page(Random(f"lines train {seed}"), "train", word_assets), draw("lines", seed, "train", word_assets))
        for seed in range(DRAWS)
    ]


def _right(page: Page, question: Question) -> str | None:
    """The answer by the page's texts alone; None for what they do not tell."""
    texts = [row.text for row in page.rows]
    words = [word for text in texts for word in text.split()]
    quoted = (re.findall(r'"(.+)"', question.question) or [""])[0]
    nth = next((place for place, name in enumerate(ORDINALS) if f"the {name} line" in question.question.lower()), None)
    if question.kind in ("word", "number") or (question.kind == "line" and len(texts) == 1):
        return texts[0]
    if question.kind == "lines":
        return str(len(texts))
    if question.kind == "words":
        return str(len(words if nth is None else texts[nth].split()))
    if question.kind == "nth":
        numbered = re.search(r"line (\d)", question.question.lower())
        return texts[int(numbered[1]) - 1 if numbered else -1 if nth is None else nth]
    if question.kind == "which":
        return f"the {ORDINALS[texts.index(quoted)]}"
    if question.kind == "contains":
        return "yes" if quoted.lower() in {word.strip(".,:;!?()\"'").lower() for word in words} else "no"
    if question.kind == "next":
        return next(b for text in texts for a, b in zip(text.split(), text.split()[1:]) if a.startswith(quoted))  # noqa: B905
    if question.kind == "edge" and (nth is not None or len(texts) == 1):
        line = texts[nth or 0].split()
        return line[-1] if re.search(r"last|last one", question.question.lower()) else line[0]
    return None


def test_answers_follow_from_what_is_written(drawn: list[tuple[Page, Task]]) -> None:
    checked = set()
    for page, task in drawn:
        assert page.picture.tobytes() == task.media[0]["image"].tobytes()
        for question in task.questions:
            right = _right(page, question)
            if right is not None:
                assert question.answer == right, question
                checked.add(question.kind)
    assert checked >= {"word", "number", "line", "lines", "words", "nth", "which", "contains", "next", "edge"}


def test_boxes_hold_ink_and_hug_it(drawn: list[tuple[Page, Task]]) -> None:
    """Inside a box brightness varies far more than in the grain around it; a box is as long as its text asks."""
    for page, task in drawn:
        grey = np.asarray(page.picture.convert("L"), dtype=np.float32)
        for row in page.rows:
            for word in row.words:
                left, top, right, bottom = (round(place) for place in word.box)
                assert 0 <= left < right <= page.picture.width + 1 and 0 <= top < bottom <= page.picture.height + 1
                inside = grey[top:bottom, left:right]
                assert np.percentile(inside, 97) - np.percentile(inside, 3) > 45, (task.assets, word)
                if len(word.text) > 2:
                    assert 0.15 < (right - left) / (bottom - top) / len(word.text) < 2.2, word
        for question in task.questions:
            if question.kind in ("find", "boxed"):
                found = re.search(r"<box>\[\[(\d+), (\d+), (\d+), (\d+)\]\]</box>", question.answer + question.question)
                assert found is not None
                sides = page.picture.size * 2
                [(_, box)] = question.boxes
                assert all(abs(int(n) * s / 1000 - b) < 2 for n, s, b in zip(found.groups(), sides, box, strict=True))


def test_no_reading_is_given_away(drawn: list[tuple[Page, Task]]) -> None:
    for _, task in drawn:
        told = ""
        for question in task.questions:
            if question.kind in ("word", "number", "line", "nth", "edge", "next", "boxed"):
                pieces = [word for word in question.answer.split() if len(word.strip(".,")) > 4]
                assert not any(f" {word.strip('.,')} " in f" {told} " for word in pieces), task.questions
            if question.kind == "contains":
                continue
            told += " " + re.sub(r"[\"<>.,?]|</?ref>", " ", f"{question.question} {question.answer}")


def test_form_kinds_and_sizes(drawn: list[tuple[Page, Task]]) -> None:
    kinds = {question.kind for _, task in drawn for question in task.questions}
    assert kinds == set(FAMILY.kinds)
    for _, task in drawn:
        picture = task.media[0]["image"]
        assert picture.mode == "RGB" and min(picture.size) >= 96 and max(picture.size) <= 1024
        assert 1 <= len(task.questions) <= 5
        for question in task.questions:
            assert question.answer.strip() == question.answer != "" and (
                not question.choices or question.answer in question.choices
            )
    answers = [question.answer for _, task in drawn for question in task.questions if question.kind == "contains"]
    assert 0.3 < answers.count("yes") / len(answers) < 0.7


def test_splits_share_no_asset_and_seeds_repeat(word_assets: Assets) -> None:
    def used(split: Split) -> set[str]:
        return {asset for seed in range(60) for asset in draw("lines", seed, split, word_assets).assets}

    assert used("train") and not used("train") & used("test")
    for seed in range(20):
        once, again = (draw("lines", seed, "test", word_assets) for _ in range(2))
        assert once.questions == again.questions
        assert once.media[0]["image"].tobytes() == again.media[0]["image"].tobytes()


def test_a_task_can_be_encoded(drawn: list[tuple[Page, Task]], tiny_tokenizer) -> None:  # type: ignore[no-untyped-def]
    processor = NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=1 << 20), tiny_tokenizer)
    inputs = processor.apply_chat_template(
        list(drawn[0][1].sample().messages), tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert inputs["input_ids"].shape[1] > 20 and len(inputs["image_grid_hw"]) == 1

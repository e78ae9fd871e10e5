"""Text alone: answers that can be worked out are right, the test asks only those, splits share nothing."""

from __future__ import annotations

import re
from random import Random

import pytest

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Question, Split
from pixelword_lab.families.text import FAMILY, TAUGHT_ONLY, passage
from pixelword_lab.family import Task, draw

DRAWS = 400


@pytest.fixture(scope="module")
def tasks(word_assets: Assets) -> dict[Split, list[Task]]:
    return {split: [draw("text", seed, split, word_assets) for seed in range(DRAWS)] for split in ("train", "test")}


def _right(question: Question) -> str | None:
    """The answer worked out from the question alone; None where it takes knowledge."""
    words = question.question
    quoted = (re.findall(r'"([^"]+)"', words) or [""])[0]
    if question.kind == "sum":
        names = {"plus": "+", "minus": "-", "times": "*", "x": "*", "divided by": "/", "+": "+", "-": "-", "/": "/"}
        a, operator, b = re.search(r"(\d+) (plus|minus|times|x|divided by|[+/-]) (\d+)", words).groups()  # type: ignore[union-attr]
        value = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b), "/": int(a) / max(1, int(b))}
        return f"{value[names[operator]]:g}"
    if question.kind == "larger":
        numbers = re.findall(r"\d+(?:\.\d+)?", words)
        return (min if re.search("smaller|less", words) else max)(numbers, key=float)
    if question.kind == "letters" and "ow many" in words:
        return str(len(quoted))
    if question.kind == "place" and "ow many" in words:
        return str(quoted.count(" ") + 1)
    if question.kind == "spell" and "backwards" in words:
        return quoted[::-1]
    if question.kind == "edit":
        given = words.partition(": ")[2]
        if "lphabet" in words:
            return ", ".join(sorted(given.rstrip(".").split(", ")))
        return given.upper() if re.search("capital|upper", words) else None
    return None


def test_answers_can_be_worked_out(tasks: dict[Split, list[Task]]) -> None:
    checked = set()
    for item in (question for found in tasks.values() for task in found for question in task.questions):
        right = _right(item)
        if right is not None:
            assert item.answer.rstrip(".").lower() == right.rstrip(".").lower(), item
            checked.add(item.kind)
        assert item.answer and item.answer == item.answer.strip()
        assert not item.choices or (
            item.answer in item.choices and all(choice in item.question for choice in item.choices)
        )
    assert checked == {"sum", "larger", "letters", "place", "spell", "edit"}


def test_the_test_asks_only_what_can_be_scored(tasks: dict[Split, list[Task]]) -> None:
    kinds = {split: {question.kind for task in found for question in task.questions} for split, found in tasks.items()}
    assert kinds["train"] == set(FAMILY.kinds)
    assert kinds["test"] == set(FAMILY.kinds) - set(TAUGHT_ONLY)


def test_long_texts_are_what_stands_in_a_document(tasks: dict[Split, list[Task]], word_assets: Assets) -> None:
    texts = {f"words:{item['key']}": item["text"] for item in word_assets.pack("words").items}
    found = [(question, task) for task in tasks["train"] for question in task.questions if question.kind == "continue"]
    assert len(found) > DRAWS / 4
    for entry, task in found:
        opening = entry.question.partition("\n\n")[2]
        whole = texts[task.assets[0]]
        assert opening in whole and entry.answer in whole[whole.index(opening) + len(opening) :]
        assert len(opening) + len(entry.answer) <= 3601 and len(opening) < max(420, len(entry.answer))


def test_a_passage_is_of_its_split_and_ends_with_a_sentence(word_assets: Assets) -> None:
    held_out = {f"words:{item['key']}" for item in word_assets.pack("words").of("test")}
    for seed in range(30):
        found = passage(Random(seed), "test", word_assets, 700)
        assert found.asset in held_out and len(found.text) <= 700
        assert found.text.endswith(".") and found.text[0].isupper()


def test_splits_share_nothing_and_seeds_repeat(tasks: dict[Split, list[Task]], word_assets: Assets) -> None:
    used = {split: {asset for task in found for asset in task.assets} for split, found in tasks.items()}
    assert used["train"] and used["test"] and not used["train"] & used["test"]
    sums = {
        split: {
            re.sub(r"\D+", " ", question.question) + question.answer
            for t in found
            for question in t.questions
            if question.kind == "sum"
        }
        for split, found in tasks.items()
    }
    assert not sums["train"] & sums["test"]
    assert [draw("text", seed, "train", word_assets) for seed in range(50)] == tasks["train"][:50]

"""The facts: readable, many, without contradiction; what the test asks is never trained."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from pixelword.synthetic.text import ask_text, is_held_out_sum, topics


def test_there_are_facts_enough() -> None:
    assert sum(len(topic.facts) for topic in topics()) >= 300
    for topic in topics():
        assert topic.wordings and topic.held_out, topic.name
        assert all(wording.count("{}") == 1 for wording in topic.wordings + topic.held_out), topic.name


def test_one_question_has_one_answer() -> None:
    answers: dict[str, set[str]] = {}
    for topic in topics():
        for wording in topic.wordings + topic.held_out:
            for key, answer in topic.facts:
                answers.setdefault(wording.replace("{}", key).lower().rstrip("?."), set()).add(answer)
    assert {question: found for question, found in answers.items() if len(found) > 1} == {}


def asked(split: Any, number: int = 6000) -> dict[str, str]:
    rng = Random(7)
    return {turn.question.lower().rstrip("?."): turn.answer for turn in (ask_text(rng, split) for _ in range(number))}


def test_the_test_asks_nothing_that_training_asks() -> None:
    train, test = asked("train"), asked("test")
    assert not set(train) & set(test)
    # but the facts behind it are the same, sums aside
    facts = {answer for topic in topics() for _, answer in topic.facts}
    assert {a for a in test.values() if not a.isdigit()} <= facts


def test_sums_are_right() -> None:
    checked = 0
    for question, answer in {**asked("train"), **asked("test")}.items():
        words = question.removesuffix(" =").split()[-3:]
        if len(words) == 3 and words[1] in ("plus", "+", "minus", "-"):
            a, b = int(words[0]), int(words[2])
            assert int(answer) == (a + b if words[1] in ("plus", "+") else a - b) >= 0
            checked += 1
    assert checked > 150
    assert 8 <= sum(is_held_out_sum(a, b) for a in range(10) for b in range(10)) <= 12


@pytest.mark.parametrize(("key", "answer"), [("hot", "cold"), ("cold", "hot"), ("France", "Paris")])
def test_facts_are_read_both_ways_where_marked(key: str, answer: str) -> None:
    assert (key, answer) in {fact for topic in topics() for fact in topic.facts}

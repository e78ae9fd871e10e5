"""nano's held-out questions: the kinds they say they are, the same ones again, compared to the letter."""

from __future__ import annotations

import pytest

import pixelword
from pixelword.errors import InputError
from pixelword.evaluation import nano
from pixelword.evaluation.report import pairs, row
from pixelword.evaluation.runner import Answers, run
from pixelword.evaluation.suite import chosen
from pixelword.tasks.nano import ASKED


def test_counting_and_counting_some_are_two_kinds() -> None:
    for kind, words in (("count", ("objects", "shapes", "things")), ("count_of", ())):
        samples = nano.held_out(kind, 20, 1.0, 0)
        assert len(samples) == 20 and {sample.kind for sample in samples} == {kind}
        assert all(
            any(word in sample.messages[-2]["content"][-1]["text"] for word in words) for sample in samples if words
        )
    with pytest.raises(InputError, match="hardly asked at level 0"):
        nano.held_out("count_of", 20, 0.0, 0)


def test_a_test_asks_the_same_again_and_another_seed_others() -> None:
    (test,) = chosen(["nano"], ["colour"])
    first, again, other = (test.items(6, seed) for seed in (0, 0, 1))
    assert [one.digest for one in first] == [one.digest for one in again]
    assert not {one.digest for one in first} & {one.digest for one in other}
    assert len({one.key for one in first + other}) == 12


def test_there_is_a_test_for_every_kind() -> None:
    assert tuple(test.name for test in chosen(["nano"])) == ASKED
    with pytest.raises(InputError, match="no test 'colours'"):
        chosen(["nano"], ["colours"])


def test_every_form_of_question_is_asked_of_a_real_model(tiny_model_dir) -> None:
    session = pixelword.load(str(tiny_model_dir))
    asked = chosen(["nano"], ["colour", "pair", "motion", "text"])
    outcomes = list(run(session, asked, Answers(None, {}), questions=3))
    assert [outcome.test.name for outcome in outcomes] == ["colour", "pair", "motion", "text"]
    for outcome in outcomes:
        figures = row(outcome.test.name, pairs(outcome))
        assert figures.right.questions == 3
        assert (figures.none is None) == (figures.wrong is None) == (outcome.test.name == "text")

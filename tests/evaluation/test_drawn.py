"""Scores compare answers to the letter, and the three conditions differ in the pictures and in nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import pixelword
from pixelword.errors import InputError
from pixelword.evaluation import drawn, evaluate
from pixelword.tasks import nano


@pytest.fixture
def samples() -> list:
    rng = np.random.default_rng(5)
    return [nano.draw("colour", rng, split="test") for _ in range(12)]


def _pictures(question: list) -> list:
    return [part["image"] for part in question[-1]["content"] if part["type"] == "image"]


def _words(question: list) -> list:
    return [part["text"] for part in question[-1]["content"] if part["type"] == "text"]


def test_conditions_change_the_pictures_only(samples: list) -> None:
    for number, sample in enumerate(samples):
        right, none, wrong = (drawn.question(samples, number, condition) for condition in drawn.CONDITIONS)
        assert _words(right) == _words(none) == _words(wrong)
        assert _pictures(none) == [] and len(_pictures(wrong)) == 1
        assert _pictures(right) == _pictures([sample.messages[0]])
        owner = next(other for other in samples if _pictures([other.messages[0]])[0] is _pictures(wrong)[0])
        assert owner.messages[-1]["content"] != sample.messages[-1]["content"]


def test_share_right_counts_exact_answers(samples: list) -> None:
    """A pupil knows every second answer: the share must be one half."""
    truth = {id(_pictures([s.messages[0]])[0]): s.messages[-1]["content"] for s in samples}

    def pupil(questions: list) -> list[str]:
        known = [truth[id(_pictures(question)[0])] for question in questions]
        return [answer if n % 2 else answer + "x" for n, answer in enumerate(known)]

    assert drawn.share_right(pupil, samples, "right") == 0.5
    assert drawn.share_right(pupil, samples, "wrong") == 0.0


def test_counting_and_counting_some_are_two_kinds() -> None:
    for kind, words in (("count", ("objects", "shapes", "things")), ("count_of", ())):
        samples = drawn.held_out(kind, 20, 1.0, 0)
        assert len(samples) == 20 and {sample.kind for sample in samples} == {kind}
        assert all(any(word in _words([s.messages[-2]])[0] for word in words) for s in samples if words)
    with pytest.raises(InputError, match="hardly asked at level 0"):
        drawn.held_out("count_of", 20, 0.0, 0)


def test_every_kind_is_scored_by_a_real_model(tiny_model_dir) -> None:
    session = pixelword.load(str(tiny_model_dir))
    scores = list(evaluate(session, kinds=("colour", "pair", "motion", "text"), questions=2))
    assert [score.kind for score in scores] == ["colour", "pair", "motion", "text"]
    for score in scores:
        assert 0 <= score.right <= 1
        assert (score.none is None) == (score.kind == "text")


def test_bad_input_is_one_line(tiny_model_dir) -> None:
    session = pixelword.load(str(tiny_model_dir))
    with pytest.raises(InputError, match="at least 2"):
        next(evaluate(session, questions=1))
    with pytest.raises(InputError, match="unknown kind"):
        next(evaluate(session, kinds=("colours",)))

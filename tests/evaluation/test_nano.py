"""nano's held-out questions: the kinds they say they are, the same ones again, compared to the letter."""

from __future__ import annotations

import json

import pytest

import pixelword
from pixelword.errors import InputError
from pixelword.evaluation import nano, tables
from pixelword.evaluation.report import Summary, pairs, row
from pixelword.evaluation.runner import Answers, run
from pixelword.evaluation.suite import chosen
from pixelword.synthetic import ASKED


def test_counting_and_counting_some_are_two_kinds() -> None:
    for kind, words in (("count", ("objects", "shapes", "things")), ("count_of", ())):
        samples = nano.held_out(kind, 20, 1.0, 0)
        assert len(samples) == 20 and {sample.kind for sample in samples} == {kind}
        assert all(
            any(word in sample.messages[-2]["content"][-1]["text"] for word in words) for sample in samples if words
        )
    with pytest.raises(InputError, match="hardly occurs at level 0"):
        nano.held_out("count_of", 20, 0.0, 0)


def test_a_test_asks_the_same_again_and_another_seed_others() -> None:
    (test,) = chosen(["nano"], ["colour"])
    first, again, other = (test.items(6, seed) for seed in (0, 0, 1))
    assert [item.digest for item in first] == [item.digest for item in again]
    assert not {item.digest for item in first} & {item.digest for item in other}
    assert len({item.key for item in first + other}) == 12


def test_there_is_a_test_for_every_kind() -> None:
    assert tuple(test.name for test in chosen(["nano"])) == ASKED
    with pytest.raises(InputError, match="no test 'colours'"):
        chosen(["nano"], ["colours"])


def test_answers_are_compared_by_what_they_are() -> None:
    """Boxes by their overlap, texts by their letters, other answers as a whole; guesses by their choices."""
    metrics = {test.name: {item.question.metric for item in test.items(20, 0)} for test in chosen(["nano"])}
    assert metrics["box"] == {"box"} and metrics["colour"] == metrics["changed"] == {"letter"}
    assert all(metrics[kind] == {"words"} for kind in ("read", "line") if kind in metrics)
    (nearer,) = chosen(["nano"], ["nearer"])
    assert {item.question.chance for item in nearer.items(40, 0)} == {0.0, 0.5}
    assert all(item.score(item.question.answer).right for item in nearer.items(40, 0))


def test_the_suite_has_its_means_and_fewer_controls(tiny_model_dir) -> None:
    session, summary = pixelword.load(str(tiny_model_dir)), Summary({})
    for outcome in run(session, chosen(["nano"]), Answers(None, {}), questions=2):
        summary.add(outcome)
    told = json.loads(json.dumps(summary.finished()))
    assert [mean["name"] for mean in told["means"]] == ["mean of twelve", "mean of all"]
    assert told["means"][1]["right"]["questions"] == 2 * len(ASKED)
    ((title, rows),) = tables.sections(told)
    assert title == "nano" and [row["name"] for row in rows] == [*ASKED, "mean of twelve", "mean of all"]
    assert "| mean of twelve | 26 |" in tables.markdown(told)
    assert all(test.controls == nano.CONTROLS < nano.QUESTIONS == test.default for test in nano.tests())


def test_every_form_of_question_is_asked_of_a_real_model(tiny_model_dir) -> None:
    session = pixelword.load(str(tiny_model_dir))
    kinds = ["colour", "pair", "motion", "text", "changed", "order", "nearer", "box"]
    asked = chosen(["nano"], kinds)
    outcomes = list(run(session, asked, Answers(None, {}), questions=3))
    assert [outcome.test.name for outcome in outcomes] == kinds
    for outcome in outcomes:
        figures = row(outcome.test.name, pairs(outcome))
        assert figures.right.questions == 3
        assert (figures.none is None) == (figures.wrong is None) == (outcome.test.name == "text")

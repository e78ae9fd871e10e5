"""What counts as right, and how sure a share is."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import InputError
from pixelword.evaluation.scores import bootstrap, boxes, edits, iou, number, score, wilson


@pytest.mark.parametrize(
    ("answer", "right", "metric", "is_right"),
    [
        ("red", "red", "letter", True),
        ("Red", "red", "letter", False),
        ("  The red   cup. ", "red cup", "exact", True),
        ("three", "3", "exact", True),
        ("a", "A", "exact", True),  # the letter, not the article
        ("A B", "B", "exact", False),
        ("no", "none", "exact", False),
        ("", "red", "exact", False),
        ("about 1,205 of them", "1205", "number", True),
        ("−3.5 °C", "-3.5", "number", True),
        ("seven", "7", "number", True),
        ("none", "0", "number", False),
        ("12", "1", "number", False),
        ("a  b\nc", "a b c", "words", True),
        ("A b c", "a b c", "words", False),
    ],
)
def test_what_is_right(answer: str, right: str, metric: str, is_right: bool) -> None:
    assert score(answer, [right], metric).right is is_right  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "right", "metric", "any_case"),
    [
        ("RED", "red", "letter", True),
        ("a  B", "A b", "words", True),
        ("a c", "A b", "words", False),
        ("RED", "red", "exact", None),
    ],
)
def test_right_in_any_case(answer: str, right: str, metric: str, any_case: bool | None) -> None:
    assert score(answer, [right], metric).any_case is any_case  # type: ignore[arg-type]


def test_a_number_has_its_tolerance() -> None:
    assert score("104.9", ["100"], "number", 0.05).right and score("95", ["100"], "number", 0.05).right
    assert not score("105.2", ["100"], "number", 0.05).right
    assert not score("100.001", ["100"], "number").right
    assert (
        number("12.5 %") == 12.5 and number("$3") == 3 and number("nothing") is None and number("1,234,567") == 1234567
    )


def test_the_best_of_several_right_answers_counts() -> None:
    assert score("kitten", ["cat", "kitten"], "exact").right
    near = score("hallo world", ["something else", "hello world"], "words")
    assert (near.letter_errors, near.letters, near.word_errors, near.words) == (1, 11, 1, 2)


def test_errors_of_a_text() -> None:
    assert edits("kitten", "sitting") == 3 and edits("", "abc") == 3 and edits("abc", "") == 3
    assert edits(["the", "cat", "sat"], ["the", "big", "cat"]) == 2


@given(st.text("ab ", max_size=12), st.text("ab ", max_size=12), st.text("ab ", max_size=12))
def test_edits_are_a_distance(a: str, b: str, c: str) -> None:
    assert edits(a, b) == edits(b, a)
    assert (edits(a, b) == 0) == (a == b)
    assert edits(a, c) <= edits(a, b) + edits(b, c)
    assert abs(len(a) - len(b)) <= edits(a, b) <= max(len(a), len(b))


def test_overlap_agrees_with_counted_pixels() -> None:
    rng = random.Random(0)
    for _ in range(200):
        pair = []
        for _ in range(2):
            (x1, x2), (y1, y2) = sorted(rng.sample(range(30), 2)), sorted(rng.sample(range(30), 2))
            pair.append((x1, y1, x2, y2))
        masks = [np.zeros((30, 30), bool) for _ in pair]
        for mask, (x1, y1, x2, y2) in zip(masks, pair, strict=True):
            mask[y1:y2, x1:x2] = True
        counted = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        assert iou(*pair) == pytest.approx(counted)
    assert iou((5, 5, 5, 9), (5, 5, 5, 9)) == 0  # no area


def test_a_box_needs_half_and_a_point_its_middle() -> None:
    true = "<ref>cup</ref><box>[[100, 100, 300, 300]]</box>"
    assert score("<box>[[100,100,300,201]]</box>", [true], "box").right
    assert not score("<box>[[100,100,300,199]]</box>", [true], "box").right
    assert not score("somewhere", [true], "box").right and score("somewhere", [true], "box").iou == 0
    assert score("<box>[[190, 190, 220, 220]]</box>", [true], "point").right
    assert not score("<box>[[250, 250, 400, 400]]</box>", [true], "point").right
    assert boxes("[[1, 2, 3, 4]] and [[5,6,7,8]]") == [(1, 2, 3, 4), (5, 6, 7, 8)]


def test_of_several_boxes_each_is_found_once() -> None:
    right = "<box>[[0, 0, 100, 100], [500, 500, 600, 600]]</box>"
    assert score("[[500, 500, 600, 600], [0, 0, 100, 100]]", [right], "box").right  # in any order
    assert not score("[[0, 0, 100, 100]]", [right], "box").right  # one is missing
    assert not score("[[0, 0, 100, 100], [0, 0, 100, 100]]", [right], "box").right  # one twice
    too_many = score("[[0, 0, 100, 100], [500, 500, 600, 600], [0, 0, 9, 9]]", [right], "box")
    assert not too_many.right and too_many.iou == pytest.approx(2 / 3)


def test_questions_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(InputError, match="has no number"):
        score("3", ["red"], "number")
    with pytest.raises(InputError, match="has no box"):
        score("3", ["red"], "box")
    with pytest.raises(InputError, match="no accepted answer"):
        score("3", [], "exact")
    with pytest.raises(InputError, match="unknown metric"):
        score("3", ["3"], "bleu")  # type: ignore[arg-type]


def test_the_interval_of_a_share() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson's own, as statsmodels has it
    assert wilson(0, 20)[0] == 0 and wilson(20, 20)[1] == 1
    low, high = wilson(500, 1000)
    assert high - low == pytest.approx(2 * 1.96 * (0.25 / 1000) ** 0.5, rel=0.01)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = [wilson(int(n), 40) for n in rng.binomial(40, 0.85, 2000)]
    assert 0.93 <= np.mean([low <= 0.85 <= high for low, high in hits]) <= 0.98


def test_the_interval_of_a_rate() -> None:
    errors, letters = [0, 1, 0, 3, 0, 1] * 20, [10, 12, 9, 30, 11, 8] * 20
    low, high = bootstrap(errors, letters)
    assert low < sum(errors) / sum(letters) < high
    assert (low, high) == bootstrap(errors, letters)
    with pytest.raises(InputError, match="at least one question"):
        bootstrap([], [])

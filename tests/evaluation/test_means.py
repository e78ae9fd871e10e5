"""Means over nano's kinds: every kind counts the same, and an interval holds the truth as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from pixelword.evaluation.means import TWELVE, Row, Share, means
from pixelword.evaluation.scores import wilson
from pixelword.synthetic import ASKED


def share(right: int, questions: int) -> Share:
    return Share(questions, right, right / questions, *wilson(right, questions))


def rows(right: dict[str, int], questions: int = 100) -> list[Row]:
    return [
        Row(name, 0.25, share(count, questions), *([share(10, 50)] * 2 if name != "text" else [None] * 2))
        for name, count in right.items()
    ]


def test_every_kind_counts_the_same_and_counting_once() -> None:
    twelve, every = means(rows(dict.fromkeys(ASKED, 80) | {"count": 100, "count_of": 50, "motion": 20}))
    assert (twelve.name, every.name) == ("mean of twelve", "mean of all")
    assert twelve.right.share == pytest.approx((10 * 0.8 + 0.75 + 0.2) / 12)
    others = len(ASKED) - 1 - len(TWELVE)
    assert every.right.share == pytest.approx((twelve.right.share * 12 + others * 0.8) / (12 + others))
    assert twelve.right.questions == 1300 and twelve.chance == pytest.approx(0.25)
    assert twelve.none is not None and twelve.none.share == pytest.approx(0.2) and twelve.none.questions == 600


def test_a_mean_needs_all_of_its_kinds() -> None:
    asked = [*TWELVE, "count_of"]
    assert [row.name for row in means(rows(dict.fromkeys(asked, 50)))] == ["mean of twelve"]
    assert means(rows(dict.fromkeys(asked[1:], 50))) == []


def test_the_interval_of_a_mean_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = dict(zip(("count_of", *TWELVE), rng.uniform(0.3, 1.0, 13), strict=True))
    weights = {name: 1 / 24 if name.startswith("count") else 1 / 12 for name in truth}
    mean = sum(truth[name] * weight for name, weight in weights.items())
    inside = 0
    for _ in range(400):
        (row,) = means(rows({name: int(rng.binomial(60, item)) for name, item in truth.items()}, 60))
        inside += row.right.low <= mean <= row.right.high
    assert 0.92 < inside / 400 < 0.99

"""Means, intervals and verdicts, against figures worked out by hand."""

from __future__ import annotations

import json
import math

import pytest

from pixelword_lab.ablations.jobs import cells
from pixelword_lab.ablations.recipe import load_ablation
from pixelword_lab.ablations.report import readings
from pixelword_lab.ablations.summary import summary

TEXT = """\
name: made-up
asks: Which is better?
cost: nothing
seeds: [0, 1]
stages: [tiny.yaml]
variants:
  - {name: one, set: [log_every=2]}
  - {name: two, set: [log_every=3]}
  - {name: three, set: [log_every=4]}
findings:
  - {says: two beats one, better: two, than: one}
  - {says: one beats two, better: one, than: two}
  - {says: three beats one, better: three, than: one}
"""


@pytest.fixture
def told(tiny, tmp_path):
    """told({variant: (share of seed 0, …)}): the summary of these figures; the loss is what is left of the share."""
    tiny()
    (tmp_path / "made-up.yaml").write_text(TEXT)
    ablation = load_ablation(tmp_path / "made-up.yaml")

    def make(shares):
        found = cells([ablation], tmp_path)
        for cell in found:
            if cell.seed < len(shares.get(cell.variant.name, ())):
                share = shares[cell.variant.name][cell.seed]
                kind = {"asked": 100, "right": round(100 * share), "blank": 1, "loss": 1 - share}
                figures = {"kinds": {"colour": kind}, "exact": share, "blank": 0.01, "loss": 1 - share}
                cell.result.parent.mkdir(parents=True, exist_ok=True)
                cell.result.write_text(json.dumps(figures | {"seconds": 60.0, "parameters": 1000}))
        return summary(ablation, found)

    return make


def test_the_spread_is_pooled_and_intervals_are_students(told) -> None:
    made = told({"one": (0.40, 0.44), "two": (0.60, 0.62)})
    spread = math.sqrt((2 * 0.02**2 + 2 * 0.01**2) / 2)
    assert made.spread().freedom == 2 and made.spread().deviation == pytest.approx(spread)
    assert made.spread().half(2) == pytest.approx(4.303 * spread / math.sqrt(2))
    assert [round(row.mean, 3) for row in made.rows] == [0.42, 0.61] and made.left == ("three",)
    better, contrary, unknown = made.judged
    assert better.verdict == "holds" and better.right.value == pytest.approx(0.19)
    assert better.right.high - better.right.low == pytest.approx(2 * 4.303 * spread)
    assert better.loss.value == pytest.approx(-0.19) and better.loss.sign == -1
    assert next(readings(made)) == (
        "two beats one: holds (+19.0 points, 95 % +9.4 to +28.6; loss -0.190, 95 % -0.286 to -0.094)"
    )
    assert contrary.verdict == "the contrary holds" and unknown.verdict == "not run"
    assert list(readings(made))[-1] == "not run: three"


def test_what_seeds_disagree_about_is_not_told_apart(told) -> None:
    made = told({"one": (0.40, 0.50), "two": (0.48, 0.51)})
    assert [item.verdict for item in made.judged] == ["not significant", "not significant", "not run"]


def test_one_seed_has_no_interval(told) -> None:
    made = told({"one": (0.4,), "two": (0.9,)})
    assert made.spread() is None
    assert "no interval" in next(readings(made)) and made.judged[0].verdict == "not significant"


def test_nothing_run(told) -> None:
    made = told({})
    assert made.left == ("one", "two", "three") and not made.rows and made.questions == 0

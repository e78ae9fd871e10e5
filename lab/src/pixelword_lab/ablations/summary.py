"""What an ablation's figures say: means over seeds with intervals, and which findings hold.

With two or three seeds a variant's own spread says little, so the spread between seeds is pooled over all variants of
an ablation, and intervals are Student's with as many degrees of freedom as that gives. A finding is judged by right
answers; the loss is reported beside it, since it moves before answers do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pixelword_lab.ablations.jobs import Cell
from pixelword_lab.ablations.recipe import Ablation, Finding, Variant
from pixelword_lab.ablations.running import figures_of

#: 97.5 % quantiles of Student's t for 1, 2, … degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
      2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)  # fmt: skip
_NORMAL = 1.960
Verdict = Literal["holds", "the contrary holds", "not significant", "not run"]


@dataclass(frozen=True)
class Row:
    """A variant: the figures of each seed that was run, in order, and the share of right answers over them."""

    variant: Variant
    cells: tuple[Cell, ...]
    figures: tuple[dict[str, Any], ...]

    @property
    def shares(self) -> list[float]:
        return [figure["exact"] for figure in self.figures]

    @property
    def mean(self) -> float:
        return self.of("exact")

    def of(self, name: str) -> float:
        """Mean of a figure over the seeds."""
        return sum(figure[name] for figure in self.figures) / len(self.figures)

    def kind(self, name: str) -> float:
        """Mean share of right answers to a kind of question."""
        kinds = [figure["kinds"][name] for figure in self.figures]
        return sum(item["right"] / item["asked"] for item in kinds) / len(kinds)


@dataclass(frozen=True)
class Spread:
    """Of a figure between seeds: a standard deviation pooled over variants, with its degrees of freedom."""

    deviation: float
    freedom: int

    def half(self, seeds: float) -> float:
        """Half the width of the 95 % interval of a mean over that many seeds."""
        quantile = _T[self.freedom - 1] if self.freedom <= len(_T) else _NORMAL
        return quantile * self.deviation / math.sqrt(seeds)


@dataclass(frozen=True)
class Difference:
    """Of two variants' means, with its 95 % interval; without bounds where there is no spread between seeds."""

    value: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves out zero, else 0."""
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True)
class Judged:
    """A finding. right, loss: what the better one has more of than the other, None where one was not run."""

    finding: Finding
    right: Difference | None = None
    loss: Difference | None = None

    @property
    def verdict(self) -> Verdict:
        """By right answers."""
        if self.right is None:
            return "not run"
        return {1: "holds", 0: "not significant", -1: "the contrary holds"}[self.right.sign]  # type: ignore[return-value]


@dataclass(frozen=True)
class Summary:
    """rows: of the variants that were run. left: names of those that were not."""

    ablation: Ablation
    rows: tuple[Row, ...]
    left: tuple[str, ...]

    @property
    def kinds(self) -> list[str]:
        return list(self.rows[0].figures[0]["kinds"]) if self.rows else []

    @property
    def questions(self) -> int:
        return sum(kind["asked"] for kind in self.rows[0].figures[0]["kinds"].values()) if self.rows else 0

    def spread(self, name: str = "exact") -> Spread | None:
        """Of a figure; None where no variant has two seeds."""
        squares = [(figure[name] - row.of(name)) ** 2 for row in self.rows for figure in row.figures]
        freedom = sum(len(row.figures) - 1 for row in self.rows)
        return Spread(math.sqrt(sum(squares) / freedom), freedom) if freedom else None

    @property
    def judged(self) -> list[Judged]:
        return [self._judge(finding) for finding in self.ablation.findings]

    def _judge(self, finding: Finding) -> Judged:
        rows = {row.variant.name: row for row in self.rows}
        if finding.better not in rows or finding.than not in rows:
            return Judged(finding)
        pair = rows[finding.better], rows[finding.than]
        return Judged(finding, self._difference(*pair, "exact"), self._difference(*pair, "loss"))

    def _difference(self, row: Row, other: Row, name: str) -> Difference:
        value, spread = row.of(name) - other.of(name), self.spread(name)
        if spread is None:
            return Difference(value)
        half = spread.half(1 / (1 / len(row.figures) + 1 / len(other.figures)))
        return Difference(value, value - half, value + half)


def summary(ablation: Ablation, found: Sequence[Cell]) -> Summary:
    """Of what was run so far, among these cells of this and of other ablations."""
    rows, left = [], []
    for variant in ablation.variants:
        own = [cell for cell in found if cell.ablation is ablation and cell.variant is variant]
        done = [(cell, figures) for cell in own if (figures := figures_of(cell)) is not None]
        if done:
            rows.append(Row(variant, tuple(cell for cell, _ in done), tuple(figures for _, figures in done)))
        else:
            left.append(variant.name)
    return Summary(ablation, tuple(rows), tuple(left))

"""What a probe found: figures, curves and grids with intervals, next to the definition and to published values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pixelword.evaluation.means import Rate
from pixelword.evaluation.scores import Z, bootstrap


@dataclass(frozen=True)
class Bar:
    """One figure. control: it is there to compare the others with."""

    name: str
    rate: Rate
    control: bool = False


@dataclass(frozen=True)
class Curve:
    """Figures by depth. x: layers, or numbers of layers. control: as of `Bar`."""

    name: str
    x: tuple[int, ...]
    rates: tuple[Rate, ...]
    control: bool = False


@dataclass(frozen=True)
class Grid:
    """A matrix of figures; rows and columns are labels."""

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Finding:
    """Result of a probe.

    Attributes:
        name: As `--only` has it.
        title: A heading.
        formula: The definition.
        source: Where the method comes from.
        questions: Number of questions behind the figures.
        unit: What bars and curves count.
        axis: What the x of the curves is.
        published: (what, value) for the released NEO 1.0 weights.
        notes: What to know when reading it.
    """

    name: str
    title: str
    formula: str
    source: str
    questions: int
    unit: str
    bars: tuple[Bar, ...] = ()
    curves: tuple[Curve, ...] = ()
    axis: str = "layer"
    grids: tuple[Grid, ...] = ()
    published: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Convert to plain data."""
        return asdict(self)

    def bar(self, name: str) -> Rate:
        """The figure of this name. Raises KeyError."""
        return {bar.name: bar.rate for bar in self.bars}[name]


def mean(values: Sequence[float]) -> Rate:
    """Mean over questions with its 95 % bootstrap interval. Raises InputError if there are none."""
    return ratio(values, [1.0] * len(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Rate:
    """sum(above) / sum(below) over questions, with its 95 % bootstrap interval; 0 for no positive denominator."""
    total = float(np.sum(below))
    if not total > 0:
        return Rate(0.0, 0.0, 0.0)
    return Rate(float(np.sum(above)) / total, *bootstrap(list(above), list(below)))


def jackknifed(value: float, without: Sequence[float]) -> Rate:
    """A statistic with its 95 % delete-a-group jackknife interval. without: the statistic without each group."""
    groups = len(without)
    if groups < 2:
        return Rate(value, value, value)
    half = Z * float(np.sqrt((groups - 1) * np.var(without)))
    return Rate(value, value - half, value + half)

"""A chart as it is asked about: where its parts are in the image shown, and what can be read off it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from pixelword.synthetic.types import Box
from pixelword_lab.drawing.tabular import Chart

#: How near an answer has to be, of the value, and the pixels that this must be for eyes to tell.
TOLERANCE, _TELLABLE = 0.05, 2.0


@dataclass(frozen=True)
class View:
    """A chart as it is asked about: boxes and size in pixels of the image that is shown."""

    rng: Random
    chart: Chart
    boxes: Mapping[str, Box]
    size: tuple[int, int]

    def at(self, *names: str) -> tuple[tuple[int, Box], ...]:
        return tuple((0, self.boxes[name]) for name in names if name in self.boxes)

    @property
    def span(self) -> float:
        """What the axis of values covers, at least."""
        values = [value for series in self.chart.series for value in series.values]
        return max(values) - (min(values) if self.chart.kind == "line" else 0)

    def values(self, index: int) -> tuple[float, ...]:
        """The values at the chart's names: of one series, or of the slices of a pie."""
        if self.chart.kind == "pie":
            return tuple(series.values[0] for series in self.chart.series)
        return self.chart.series[index].values

    def mark(self, index: int, place: int) -> str:
        """The part that shows a value."""
        return f"mark:{place}:0" if self.chart.kind == "pie" else f"mark:{index}:{place}"

    def readable(self, index: int, place: int) -> bool:
        """Whether a value can be read off the axis closely enough, with no number written at it."""
        if self.chart.kind == "pie":
            return False
        values = self.values(index)
        tops = [self.boxes[self.mark(index, at)] for at in range(len(values))]
        left, top, right, bottom = tops[place]
        if self.chart.kind != "line":
            return TOLERANCE * max(right - left if self.chart.kind == "barh" else bottom - top, 0) >= _TELLABLE
        low, high = values.index(min(values)), values.index(max(values))
        tall = tops[low][1] - tops[high][1]
        return TOLERANCE * abs(values[place]) * tall >= _TELLABLE * (values[high] - values[low])

    def labelled(self, place: int) -> bool:
        """Whether one can tell which name a place has: it stands there, or follows from its neighbours'."""
        names = self.chart.names
        if self.chart.kind != "line" or f"tick:{place}" in self.boxes:
            return True
        steps = {int(b) - int(a) for a, b in pairwise(names)}
        return len(steps) == 1

    @property
    def lines(self) -> range:
        """The series whose values stand at the chart's names."""
        return range(1 if self.chart.kind == "pie" else len(self.chart.series))

    @property
    def named(self) -> bool:
        """Whether values stand at names."""
        return self.chart.kind in ("bar", "barh", "line", "pie")

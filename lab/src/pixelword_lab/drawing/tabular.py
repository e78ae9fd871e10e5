"""From a real table to what a chart shows: names, values and labels, rounded as they are drawn.

Values are shuffled among their names half the time, so that a chart has to be read: who knows the table by heart, or
the world, is not helped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from random import Random
from statistics import fmean
from typing import Any

#: The kinds of charts, with the names that answers use.
KINDS: dict[str, str] = {
    "bar": "bar chart", "barh": "bar chart", "line": "line chart", "scatter": "scatter plot", "pie": "pie chart",
    "histogram": "histogram", "table": "table",
}  # fmt: skip
#: Names of colours that nobody confuses, and what they look like.
COLOURS: dict[str, str] = {
    "blue": "#2b6fd6", "orange": "#f5851f", "green": "#2f9e44", "red": "#d7263d", "purple": "#7b3fb5",
    "brown": "#7a4a26", "pink": "#f58fc4", "grey": "#8c8c8c", "yellow": "#f2c80f", "turquoise": "#17c3c9",
}  # fmt: skip
_TIME = re.compile(r"year|month|week|\bday|\btime|\bage\b|hour|decade|quarter|round|minute", re.IGNORECASE)
_LONGEST_NAME, _LONGEST_LABEL, _LONGEST_TITLE = 14, 24, 56


@dataclass(frozen=True)
class Series:
    """What one colour shows. xs: of points, else the values stand at the chart's names."""

    name: str
    colour: str
    values: tuple[float, ...]
    xs: tuple[float, ...] = ()


@dataclass(frozen=True)
class Chart:
    """What a chart shows, before any style. cells: rows of a table's texts, whose columns are `names`.

    written: the values stand at their marks. others: names of the same table that are not shown. Labels and title are
    "" where there is none.
    """

    kind: str
    title: str
    x_label: str
    y_label: str
    names: tuple[str, ...]
    series: tuple[Series, ...]
    cells: tuple[tuple[str, ...], ...] = ()
    written: bool = False
    others: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As JSON has it; `from_facts` is its inverse."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Chart:
        series = tuple(
            Series(item["name"], item["colour"], tuple(item["values"]), tuple(item["xs"])) for item in facts["series"]
        )
        cells = tuple(tuple(row) for row in facts["cells"])
        return cls(
            facts["kind"], facts["title"], facts["x_label"], facts["y_label"], tuple(facts["names"]), series, cells,
            facts["written"], tuple(facts["others"]),
        )  # fmt: skip


def number(value: float) -> str:
    """A value as charts and answers write it: three digits that count, no zeros at the end."""
    return f"{float(f'{value:.3g}'):.6f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.0f}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def clean(text: object) -> str:
    """'Sepal.Length' -> 'Sepal Length': a column's name as a label has it."""
    return re.sub(r"([a-z])([A-Z])", r"\1 \2", re.sub(r"[._\s]+", " ", str(text))).strip()


class Columns:
    """The columns of a table by what they can be in a chart: names, groups, times, numbers."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        rows: Sequence[Sequence[Any]] = item["rows"]
        self.title = _title(item)
        self.rows = len(rows)
        self.names: list[tuple[str, list[str]]] = []
        self.groups: list[tuple[str, list[str]]] = []
        self.times: list[tuple[str, range, list[str]]] = []
        self.numbers: list[tuple[str, list[float]]] = []
        for index, head in enumerate(item["columns"]):
            label = clean(head)
            if label and label.isascii() and len(label) <= _LONGEST_LABEL:
                self._sort("" if label == "rownames" else label, [row[index] for row in rows])

    def _sort(self, label: str, values: list[Any]) -> None:
        if all(isinstance(v, str) and v.strip() for v in values):
            texts = [clean(v) for v in values]
            kinds = Counter(texts)
            if max(map(len, kinds)) <= 40 and all(t.isascii() and not t.replace(" ", "").isdigit() for t in kinds):
                if len(kinds) == len(texts) >= 3:
                    self.names.append((label, texts))
                elif 2 <= len(kinds) <= 7 and len(texts) >= 3 * len(kinds) and label:
                    self.groups.append((label, texts))
        elif label and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            run = _rising_run(values)
            steps = [a < b for a, b in pairwise(values)]
            # a column that merely numbers the rows says nothing
            counts = list(values) == list(range(1, len(values) + 1)) and not _TIME.search(label)
            timely = _TIME.search(label) or 1500 <= values[run[0]] <= 2100
            if len(run) >= 4 and not counts and timely and sum(steps) >= 0.7 * len(steps):
                self.times.append((label, run, [str(int(values[place])) for place in run]))
            elif not counts and len(set(values)) >= 4 and 0.05 <= max(map(abs, values)) < 1e5:
                self.numbers.append((label, [_rounded(v) for v in values]))


def _rising_run(values: Sequence[float]) -> range:
    """The longest run of rows whose whole numbers rise: all years of one country, say."""
    best = start = 0, 0
    for place, value in enumerate(values):
        goes_on = place and value > values[place - 1] and float(value).is_integer()
        start = (start[0], place + 1) if goes_on else (place, place + 1)
        best = max(best, start, key=lambda run: run[1] - run[0])
    return range(*best)


def _title(item: Mapping[str, Any]) -> str:
    title = re.sub(r"\s+", " ", str(item.get("title") or "")).strip(" .")
    return title if title.isascii() and " " in title and 6 <= len(title) <= _LONGEST_TITLE else ""


def possible(columns: Columns) -> list[str]:
    """The kinds of charts that a table's columns allow."""
    named = any(_short(texts) for _, texts in columns.names)
    found = []
    if columns.numbers and (named or columns.groups):
        found += ["bar", "barh"]
    if columns.numbers and columns.times:
        found.append("line")
    if len(columns.numbers) >= 2 and columns.rows >= 12:
        found.append("scatter")
    if columns.groups or (columns.numbers and named):
        found.append("pie")
    if columns.numbers and columns.rows >= 30:
        found.append("histogram")
    if len(columns.numbers) + len(columns.groups) + len(columns.names) >= 2 and columns.rows >= 3:
        found.append("table")
    return found


def draw_chart(rng: Random, kind: str, columns: Columns) -> Chart | None:
    """A chart of this kind (one of `possible`), or None where the drawn numbers do not make one: draw again."""
    chart = _MAKERS[kind](rng, kind, columns)
    return chart and replace(chart, others=_others(rng, chart, columns))


def _others(rng: Random, chart: Chart, columns: Columns) -> tuple[str, ...]:
    """Up to three names that the chart could have shown but does not."""
    shown = set(chart.names) | {cell for row in chart.cells for cell in row}
    lists = [texts for _, texts in (*columns.names, *columns.groups) if shown & set(texts)]
    free = sorted({text for texts in lists for text in texts if len(text) <= _LONGEST_NAME} - shown)
    return tuple(rng.sample(free, min(3, len(free))))


def _short(texts: Sequence[str]) -> list[int]:
    return [index for index, text in enumerate(texts) if len(text) <= _LONGEST_NAME]


def _colours(rng: Random, count: int) -> list[str]:
    return rng.sample(list(COLOURS), count)


def _titled(rng: Random, columns: Columns, words: str) -> str:
    """A title: the table's own, one that names what is shown, or none."""
    chance = rng.random()
    if chance < 0.15:
        return ""
    return columns.title if columns.title and chance < 0.6 else words[:1].upper() + words[1:]


def _bars(rng: Random, kind: str, columns: Columns) -> Chart | None:
    usable = [(label, texts) for label, texts in columns.names if len(_short(texts)) >= 3]
    if not usable or (columns.groups and rng.random() < 0.4):
        return _bars_of_groups(rng, kind, columns) if columns.groups else None
    label, texts = rng.choice(usable)
    places = _short(texts)
    places = rng.sample(places, rng.randint(3, min(8, len(places))))
    y_label, values = rng.choice(columns.numbers)
    alike = [other for other in columns.numbers if _alike([values[p] for p in places], [other[1][p] for p in places])]
    picked = rng.sample(alike, min(len(alike), rng.choice((2, 2, 3)))) if rng.random() < 0.4 else []
    # bars of several series share one axis, so each needs a name in the legend, and fewer of them fit
    shown = picked if len(picked) > 1 else [(y_label, values)]
    places = places[: 4 if len(shown) > 1 else 8]
    colours = _colours(rng, len(shown))
    series = tuple(
        Series(name if len(shown) > 1 else "", colour, _shuffled(rng, [column[p] for p in places]))
        for (name, column), colour in zip(shown, colours, strict=True)
    )
    if min(min(item.values) for item in series) < 0:
        return None
    axis = "" if len(shown) > 1 else y_label
    about = axis or " and ".join(item.name for item in series[:2])
    title = _titled(rng, columns, f"{about} by {label}" if label else about)
    names = tuple(texts[p] for p in places)
    return Chart(kind, title, label, axis, names, series, written=rng.random() < 0.45)


def _bars_of_groups(rng: Random, kind: str, columns: Columns) -> Chart | None:
    label, texts = rng.choice(columns.groups)
    names = [name for name in sorted(set(texts)) if len(name) <= _LONGEST_NAME]
    # sexes and yes/no are in many tables, and two bars leave little to ask
    if len(names) < 2 or (len(names) == 2 and rng.random() < 0.6):
        return None
    y_label, column = rng.choice(columns.numbers)
    rng.shuffle(names)
    if rng.random() < 0.4:
        counts, y_label = Counter(texts), "count"
        values = [float(counts[name]) for name in names]
    else:
        values = [_rounded(fmean(v for v, text in zip(column, texts, strict=True) if text == n)) for n in names]
        y_label = f"mean {y_label}"
    if min(values) < 0 or max(values) == 0:
        return None
    series = Series("", _colours(rng, 1)[0], _shuffled(rng, values))
    title = _titled(rng, columns, f"{y_label} by {label}")
    return Chart(kind, title, label, y_label, tuple(names), (series,), written=rng.random() < 0.45)


def _alike(item: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two columns can share an axis."""
    first, second = max(map(abs, item)), max(map(abs, other))
    return bool(first and second) and 1 / 4 < first / second < 4


def _shuffled(rng: Random, values: Sequence[float]) -> tuple[float, ...]:
    return tuple(rng.sample(values, len(values)) if rng.random() < 0.5 else values)


def _lines(rng: Random, kind: str, columns: Columns) -> Chart | None:
    label, run, times = rng.choice(columns.times)
    length = rng.randint(4, min(12, len(times)))
    start = rng.randint(0, len(times) - length)
    names = tuple(times[start : start + length])
    part = slice(run[start], run[start] + length)
    first = rng.choice(columns.numbers)
    alike = [other for other in columns.numbers if other != first and _alike(first[1][part], other[1][part])]
    shown = [first, *rng.sample(alike, min(len(alike), rng.randint(0, 2)))]
    if any(len(set(values[part])) < 2 for _, values in shown):
        return None
    backwards = rng.random() < 0.5
    series = tuple(
        Series(name if len(shown) > 1 else "", colour, tuple(values[part][::-1] if backwards else values[part]))
        for (name, values), colour in zip(shown, _colours(rng, len(shown)), strict=True)
    )
    axis = first[0] if len(shown) == 1 else ""
    title = _titled(rng, columns, f"{first[0]} by {label}" if axis else f"{first[0]} and {shown[1][0]}")
    return Chart(kind, title, label, axis, names, series, written=rng.random() < 0.15)


def _points(rng: Random, kind: str, columns: Columns) -> Chart | None:
    (x_label, xs), (y_label, ys) = rng.sample(columns.numbers, 2)
    places = sorted(rng.sample(range(columns.rows), min(columns.rows, rng.randint(12, 60))))
    if rng.random() < 0.5:
        ys = [_rounded(max(ys) + min(ys) - y) for y in ys]
    grouped = columns.groups and rng.random() < 0.5
    texts = rng.choice(columns.groups)[1] if grouped else [""] * columns.rows
    names = sorted({texts[p] for p in places})
    if len(names) > 4 or max(map(len, names)) > _LONGEST_NAME or len({xs[p] for p in places}) < 5:
        return None
    series = []
    for name, colour in zip(names, _colours(rng, len(names)), strict=True):
        own = [p for p in places if texts[p] == name]
        series.append(Series(name, colour, tuple(ys[p] for p in own), tuple(xs[p] for p in own)))
    title = _titled(rng, columns, f"{y_label} and {x_label}")
    return Chart(kind, title, x_label, y_label, (), tuple(series))


def _slices(rng: Random, kind: str, columns: Columns) -> Chart | None:
    if columns.groups and (not columns.numbers or not columns.names or rng.random() < 0.5):
        label, texts = rng.choice(columns.groups)
        shares: dict[str, float] = dict(Counter(texts).most_common(6))
    else:
        label, texts = rng.choice(columns.names)
        places = rng.sample(_short(texts), min(len(_short(texts)), rng.randint(3, 6)))
        value, column = rng.choice(columns.numbers)
        shares, label = {texts[p]: column[p] for p in places}, value
    total = sum(shares.values())
    if len(shares) < 2 or (len(shares) == 2 and rng.random() < 0.6):
        return None
    if max(map(len, shares)) > _LONGEST_NAME or total <= 0 or min(shares.values()) < 0.04 * total:
        return None
    names = rng.sample(list(shares), len(shares))
    values = _shuffled(rng, [float(round(100 * shares[name] / total)) for name in names])
    series = tuple(Series(n, c, (v,)) for n, c, v in zip(names, _colours(rng, len(names)), values, strict=True))
    return Chart(
        kind, _titled(rng, columns, f"share of {label}"), "", "", tuple(names), series, written=rng.random() < 0.6
    )


def _bins(rng: Random, kind: str, columns: Columns) -> Chart | None:
    label, values = rng.choice(columns.numbers)
    count = rng.randint(4, 9)
    low, high = min(values), max(values)
    # edges that people would choose: a step of 1, 2 or 5 times a power of ten
    step = next((s for s in _steps() if s * count >= high - low), None)
    if step is None:
        return None
    start = low // step * step
    edges = [start + index * step for index in range(count + 1)]
    heights = [float(sum(a <= v < b for v in values)) for a, b in pairwise(edges)]
    while heights and heights[-1] == 0:
        heights.pop()
    if len(heights) < 3 or 0 in heights:
        return None
    names = tuple(f"{number(a)} to {number(b)}" for a, b in pairwise(edges[: len(heights) + 1]))
    series = Series("", _colours(rng, 1)[0], tuple(heights), tuple(edges[: len(heights) + 1]))
    title = _titled(rng, columns, f"distribution of {label}")
    return Chart(
        kind, title, label, rng.choice(("count", "frequency", "")), names, (series,), written=rng.random() < 0.3
    )


def _steps() -> list[float]:
    return [lead * 10.0**power for power in range(-2, 5) for lead in (1, 2, 5)]


def _cells(rng: Random, kind: str, columns: Columns) -> Chart | None:
    texts = [(label or "name", column) for label, column in columns.names if len(_short(column)) >= 3]
    first = rng.choice(texts) if texts else None
    places = _short(first[1]) if first else list(range(columns.rows))
    places = rng.sample(places, min(len(places), rng.randint(3, 7)))
    rest = [(label, [number(v) for v in values]) for label, values in columns.numbers]
    rest += [(label, values) for label, values in columns.groups if max(map(len, values)) <= _LONGEST_NAME]
    chosen = rng.sample(rest, min(len(rest), rng.randint(1, 3) if first else rng.randint(2, 4)))
    shown = ([first] if first else []) + chosen
    if len(shown) < 2 or len({label for label, _ in shown}) < len(shown):
        return None
    cells = tuple(tuple(column[p] for _, column in shown) for p in places)
    title = _titled(rng, columns, columns.title or "")
    return Chart(kind, title, "", "", tuple(label for label, _ in shown), (), cells)


_MAKERS: dict[str, Callable[[Random, str, Columns], Chart | None]] = {
    "bar": _bars, "barh": _bars, "line": _lines, "scatter": _points, "pie": _slices, "histogram": _bins,
    "table": _cells,
}  # fmt: skip

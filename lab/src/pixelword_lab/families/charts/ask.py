"""What can be asked about a chart, from what it shows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from random import Random

from pixelword.processing.boxes import grounded
from pixelword.synthetic.types import Box, Question
from pixelword.synthetic.wording import article, phrase
from pixelword_lab.candidates import Candidate, Facts
from pixelword_lab.drawing.tabular import COLOURS, KINDS, Chart, number
from pixelword_lab.families.charts.view import TOLERANCE, View

_TYPES = tuple(dict.fromkeys(KINDS.values()))
#: Of the axis: two values closer than this look equal.
_CLOSE = 0.05
_MARKS = {"bar": "bar", "barh": "bar", "histogram": "bar", "pie": "slice", "line": "line"}


def candidates(rng: Random, chart: Chart, boxes: Mapping[str, Box], size: tuple[int, int]) -> list[Candidate]:
    """Everything that can be asked about the chart, wordings drawn."""
    view = View(rng, chart, boxes, size)
    return [item for ask in _ASKERS for item in ask(view)]


def _tells(*facts: Hashable) -> Facts:
    return frozenset(facts)


def _names(view: View, *places: int) -> list[Hashable]:
    return [("name", view.chart.names[place]) for place in places]


def _type(view: View) -> Iterator[Candidate]:
    answer = KINDS[view.chart.kind]
    words = ("What kind of chart is this?", "Which type of chart is it?", "What type of chart is shown?",
             "Is this a bar chart, a line chart, a pie chart or something else?")  # fmt: skip
    yield Candidate(Question("type", phrase(view.rng, words), answer, choices=_TYPES), _tells("type"))


def _title(view: View) -> Iterator[Candidate]:
    chart = view.chart
    words = ("What is the title?", "What does the title say?", "Read the title.", "What is the chart called?",
             "What is written above the chart?")  # fmt: skip
    if not chart.title and view.rng.random() < 0.5:
        return
    question = Question(
        "title", phrase(view.rng, words[: 5 if chart.title else 2]), chart.title or "none", "words",
        absent=not chart.title, boxes=view.at("title"),
    )  # fmt: skip
    low = chart.title.lower()
    tells: list[Hashable] = [("label", label) for label in (chart.x_label, chart.y_label) if label.lower() in low]
    yield Candidate(question, _tells("title"), _tells(*tells))


def _axes(view: View) -> Iterator[Candidate]:
    chart = view.chart
    lying = chart.kind == "barh"
    across, up = (chart.y_label, chart.x_label) if lying else (chart.x_label, chart.y_label)
    for label, part, names in (
        (across, "y" if lying else "x", ("horizontal axis", "x-axis")),
        (up, "x" if lying else "y", ("vertical axis", "y-axis")),
    ):
        if label:
            words = ("What does the {axis} show?", "What is the label of the {axis}?", "What is on the {axis}?")
            text = phrase(view.rng, words, axis=view.rng.choice(names))
            question = Question("axis", text, label, "words", boxes=view.at(part))
            yield Candidate(question, _tells(("label", label)))


def _of(view: View, index: int) -> str:
    """' for wheat', for one of several series."""
    name = view.chart.series[index].name if len(view.lines) > 1 else ""
    return f" for {name}" if name else ""


def _extremes(view: View) -> Iterator[Candidate]:
    chart = view.chart
    if not view.named:
        return
    for index in view.lines:
        values = view.values(index)
        for words, best, sign in ((("highest", "largest"), max, 1), (("lowest", "smallest"), min, -1)):
            place = values.index(best(values))
            others = [sign * value for other, value in enumerate(values) if other != place]
            if sign * values[place] - max(others) < _CLOSE * view.span or not view.labelled(place):
                continue
            what = chart.x_label if chart.x_label.isalpha() and len(chart.x_label) > 2 else "category"
            word, of = view.rng.choice(words), _of(view, index)
            text = phrase(
                view.rng,
                map(_plain, (f"Which {what} has the {word} value{of}?", f"Where is the value{of} {word}?",
                 f"What has the {word} value{of}?", f"Name the {what} with the {word} value{of}.")),
            )  # fmt: skip
            mark = view.mark(index, place)
            question = Question("extreme", text, chart.names[place], choices=chart.names, boxes=view.at(mark))
            both = ("extreme", index, "both" if len(values) == 2 else word)
            tells = [("level", index, place), *_names(view, place)]
            if what != "category":
                tells.append(("label", chart.x_label))
            yield Candidate(question, _tells(both), _tells(*tells))


def _values(view: View) -> Iterator[Candidate]:
    chart = view.chart
    if not view.named and chart.kind != "histogram":
        return
    for index in view.lines:
        for place, value in enumerate(view.values(index)):
            mark = view.mark(index, place)
            if not view.labelled(place) or not (chart.written or view.readable(index, place)):
                continue
            name, of = chart.names[place], _of(view, index)
            tells = [("level", index, place), *_names(view, place)]
            if chart.kind == "histogram":
                words: tuple[str, ...] = (f"How many are from {name}?", f"How high is the bar from {name}?")
            elif chart.kind == "pie":
                words = (f"What percentage is {name}?", f"How large is the share of {name}, in percent?")
            else:
                words = (
                    f"What is the value{of} at {name}?",
                    f"How much is {name}{of}?",
                    f"Read off the value of {name}{of}.",
                )
                if chart.y_label and view.rng.random() < 0.3:
                    words = (f"What is the {chart.y_label} of {name}?",)
                    tells.append(("label", chart.y_label))
            question = Question(
                "value", phrase(view.rng, [_plain(text) for text in words]), number(value), "number",
                boxes=view.at(mark), tolerance=TOLERANCE,
            )  # fmt: skip
            yield Candidate(question, _tells(("value", index, place)), _tells(*tells))


def _plain(text: str) -> str:
    """Words from data may hold braces, which `phrase` would take for blanks."""
    return text.replace("{", "{{").replace("}", "}}")


def _compare(view: View) -> Iterator[Candidate]:
    chart = view.chart
    if not view.named or len(chart.names) < 2:
        return
    for _ in range(4):
        index = view.rng.choice(view.lines)
        item, other = view.rng.sample(range(len(chart.names)), 2)
        values = view.values(index)
        if abs(values[item] - values[other]) < _CLOSE * view.span or not (view.labelled(item) and view.labelled(other)):
            continue
        of, a, b = _of(view, index), chart.names[item], chart.names[other]
        more = values[item] > values[other]
        if view.rng.random() < 0.5:
            words = [f"Which is larger{of}, {a} or {b}?", f"What has the higher value{of}: {a} or {b}?"]
            if chart.kind == "line":
                words = [f"Where is the value{of} higher, at {a} or at {b}?"]
            answer, choices = (a if more else b), (a, b)
        else:
            high = view.rng.random() < 0.5
            word = ("higher", "larger", "greater") if high else ("lower", "smaller")
            words = [f"Is the value{of} of {a} {w} than that of {b}?" for w in word]
            answer, choices = ("yes" if more == high else "no"), ("yes", "no")
        marks = view.at(view.mark(index, item), view.mark(index, other))
        question = Question("compare", phrase(view.rng, map(_plain, words)), answer, choices=choices, boxes=marks)
        asks = [("level", index, item), ("level", index, other)]
        tells: list[Hashable] = _names(view, item, other)
        if len(values) == 2:
            tells.append(("extreme", index, "both"))
        yield Candidate(question, _tells(*asks), _tells(*tells))


def _trend(view: View) -> Iterator[Candidate]:
    if view.chart.kind == "scatter" and len(view.chart.series) == 1:
        series = view.chart.series[0]
        related = _correlation(series.xs, series.values)
        if abs(related) < 0.12 or abs(related) > 0.7:
            answer = "none" if abs(related) < 0.12 else "positive" if related > 0 else "negative"
            words = ("Is the correlation positive, negative or none?", "What is the trend: positive, negative or none?")
            choices = ("positive", "negative", "none")
            yield Candidate(Question("trend", phrase(view.rng, words), answer, choices=choices), _tells("trend"))
    if view.chart.kind != "line" or len(view.chart.names) < 4:
        return
    for index, series in enumerate(view.chart.series):
        values = series.values
        change = (values[-1] - values[0]) / ((max(values) - min(values)) or 1)
        if abs(change) < 0.4 or (max(values) - min(values)) < 0.15 * view.span:
            continue
        it = series.name if len(view.chart.series) > 1 else "the line"
        words = (f"Does {it} rise or fall from left to right?", f"Overall, does {it} rise or fall?")
        question = Question(
            "trend", phrase(view.rng, map(_plain, words)), ("falls", "rises")[change > 0], choices=("rises", "falls"),
            boxes=view.at(view.mark(index, 0), view.mark(index, len(values) - 1)),
        )  # fmt: skip
        # first and last say it too
        asks = [("level", index, 0), ("level", index, len(values) - 1)]
        yield Candidate(question, _tells(*asks), _tells("type"))


def _correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    along = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    spread = (sum((x - middle_x) ** 2 for x in xs) * sum((y - middle_y) ** 2 for y in ys)) ** 0.5
    return along / spread if spread else 0.0


def _number_of(view: View) -> Iterator[Candidate]:
    chart = view.chart
    counts: list[tuple[str, int]] = []
    if chart.kind == "table":
        counts = [("columns", len(chart.names)), ("rows below the head", len(chart.cells))]
    elif chart.kind == "line":
        counts = [("lines", len(chart.series))]
    elif chart.kind in _MARKS:
        counts = [(f"{_MARKS[chart.kind]}s", sum(len(series.values) for series in chart.series))]
        if len(chart.series) > 1 and chart.kind != "pie":
            counts.append(("colours of bars", len(chart.series)))
    elif len(chart.series) > 1:
        counts = [("groups of points", len(chart.series))]
    for what, count in counts:
        words = (f"How many {what} are there?", f"Count the {what}.", f"How many {what} does it have?")
        question = Question("number of", phrase(view.rng, words), str(count))
        yield Candidate(question, _tells(("count", what)), _tells("type"))


def _colours(view: View) -> Iterator[Candidate]:
    chart = view.chart
    several = [item for item in chart.series if item.name]
    mark = _MARKS.get(chart.kind, "points")
    if len(several) > 1:
        for index, series in enumerate(chart.series):
            boxes, fact = view.at(f"legend:{index}"), ("colour", index)
            it = f"the {mark} of {series.name}" if chart.kind in ("line", "pie") else series.name
            words = (f"What colour is {it}?", f"Which colour stands for {series.name}?")
            question = Question(
                "colour", phrase(view.rng, map(_plain, words)), series.colour, choices=tuple(COLOURS), boxes=boxes
            )
            yield Candidate(question, _tells(fact), _tells(("name", series.name)))
            words = (f"What does {series.colour} stand for?", f"What is shown in {series.colour}?")
            names = tuple(item.name for item in chart.series)
            question = Question("colour", phrase(view.rng, words), series.name, choices=names, boxes=boxes)
            yield Candidate(question, _tells(fact), _tells(("name", series.name)))
    elif chart.series and chart.kind != "pie":
        them = {"line": "is the line", "scatter": "are the points"}.get(chart.kind, "are the bars")
        words = (f"What colour {them}?", f"Which colour {them}?")
        answer = chart.series[0].colour
        yield Candidate(
            Question("colour", phrase(view.rng, words), answer, choices=tuple(COLOURS)),
            _tells("colour"),
            _tells("type"),
        )


def _exists(view: View) -> Iterator[Candidate]:
    chart = view.chart
    shown = chart.names if chart.kind in ("bar", "barh", "pie") else ()
    if chart.kind == "table":
        shown = tuple(row[0] for row in chart.cells)
    what = "row" if chart.kind == "table" else _MARKS.get(chart.kind, "")
    if not shown or not chart.others:
        return
    # several, since some will have been named before: else "no" would be the better guess
    answer = view.rng.choice(("yes", "no"))
    for name in view.rng.sample(shown if answer == "yes" else chart.others, min(3, len(shown), len(chart.others))):
        words = (f"Is there {article(what)} for {name}?", f"Does it show {name}?", f"Can you see {name} here?")
        marks = view.at(view.mark(0, shown.index(name))) if answer == "yes" and what != "row" else ()
        text, absent = phrase(view.rng, map(_plain, words)), answer == "no"
        question = Question("exists", text, answer, choices=("yes", "no"), absent=absent, boxes=marks)
        yield Candidate(question, _tells(("name", name)), _tells("type"))


def _cells(view: View) -> Iterator[Candidate]:
    chart = view.chart
    if chart.kind != "table":
        return
    firsts = [row[0] for row in chart.cells]
    for row, texts in enumerate(chart.cells):
        for column in range(1, len(texts)):
            if firsts.count(firsts[row]) > 1:
                continue
            head = chart.names[column]
            words: tuple[str, ...] = (
                     f"What is the {head} of {firsts[row]}?", f"What is {head} for {firsts[row]}?",
                     f"What stands in the column {head} for {firsts[row]}?")  # fmt: skip
            if firsts[row].replace(".", "").lstrip("-").isdigit():
                words = (f"What is {head} where {chart.names[0]} is {firsts[row]}?",)
            facts = _tells(("cell", row, column))
            boxes = view.at(f"cell:{row + 1}:{column}")
            question = Question("cell", phrase(view.rng, map(_plain, words)), texts[column], "words", boxes=boxes)
            yield Candidate(question, facts, _tells(("name", firsts[row]), ("head", column)))
    for column, head in enumerate(chart.names):
        place = ("first", "second", "third", "fourth")[column]
        asked = (f"What is the head of the {place} column?", f"What is the {place} column called?")
        question = Question("cell", phrase(view.rng, asked), head, "words", boxes=view.at(f"cell:0:{column}"))
        yield Candidate(question, _tells(("head", column)))


def _find(view: View) -> Iterator[Candidate]:
    chart = view.chart
    targets: list[tuple[str, str, Facts]] = []
    if chart.kind in ("bar", "barh", "pie") and len(view.lines) == 1:
        kind = _MARKS[chart.kind]
        for place, name in enumerate(chart.names):
            targets.append((f"{kind} of {name}", view.mark(0, place), _tells("type", ("name", name))))
    elif chart.kind == "table":
        for row in range(1, len(chart.cells) + 1):
            for column, text in enumerate(chart.cells[row - 1]):
                if sum(cells.count(text) for cells in chart.cells) == 1:
                    targets.append((text, f"cell:{row}:{column}", _tells(("cell", row - 1, column))))
    if chart.title and view.rng.random() < 0.3:
        targets.append(("title", "title", _tells()))
    for name, part, tells in targets:
        left, top, right, bottom = box = view.boxes[part]
        if min(right - left, bottom - top) < 8:
            continue
        words = [f"Where is the {name}?", f"Find the {name}.", f"Give the box of the {name}."]
        if chart.kind == "table" and name != "title":
            words = [f'Where does "{name}" stand?', f'Find "{name}".', f'Give the box of "{name}".']
        question = Question(
            "find", phrase(view.rng, map(_plain, words)), grounded(name, box, view.size), "box", boxes=((0, box),)
        )
        yield Candidate(question, _tells(("box", part)), tells)


_ASKERS: tuple[Callable[[View], Iterator[Candidate]], ...] = (
    _type, _title, _axes, _extremes, _values, _compare, _trend, _number_of, _colours, _exists, _cells, _find,
)  # fmt: skip

"""Result tables next to the paper's, on a terminal and as Markdown; and the table of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelword.evaluation.paper.benchmarks import TITLES, models
from pixelword.evaluation.paper.plan import READING, WRITING

if TYPE_CHECKING:
    from rich.table import Table

Report = Mapping[str, Any]
#: Models whose figures a terminal has room for; Markdown has all.
_SHOWN = ("NEO-ov 2B", "Qwen3-VL 2B", "NEO-ov 9B", "Qwen3-VL 8B")


def columns() -> list[str]:
    """Of the table of results."""
    return ["", "questions", "ours", "95 %", *models()]


def rows(results: Sequence[Report]) -> Iterator[tuple[str, list[list[str]]]]:
    """(title, rows) of each category that was run."""
    for category, title in TITLES.items():
        found = [_row(result) for result in results if result["category"] == category]
        if found:
            yield title, found


def _row(report: Report) -> list[str]:
    interval = f"{report['low']:.0f}–{report['high']:.0f}"
    return [
        report["name"],
        f"{report['asked']:,}",
        f"{report['figure']:.1f}",
        interval,
        *(_paper(report, name) for name in models()),
    ]


def _paper(report: Report, name: str) -> str:
    return f"{report['paper'][name]:.1f}" if name in report["paper"] else "–"


def faults(results: Sequence[Report]) -> list[str]:
    """Return a line per benchmark with failed questions."""
    return [
        f"{result['name']}: {result['faults']:,} of {result['asked']:,} failed and count as wrong: {result['fault']}"
        for result in results
        if result["faults"]
    ]


def markdown(report: Report) -> str:
    """All tables."""
    lines = []
    for title, found in rows(report["results"]):
        lines += [f"| {' | '.join([title, *columns()[1:]])} |", "|---|" + "---:|" * (len(columns()) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in found] + [""]
    return "\n".join([*lines, *faults(report["results"]), *_missing(report)]).strip() + "\n"


def _missing(report: Report) -> list[str]:
    gone = report["missing"]
    return [f"Not here: {', '.join(gone)}."] if gone else []


def show(report: Report) -> None:
    """Print results as tables."""
    from rich.console import Console

    console = Console(highlight=False)
    visible = [place for place, name in enumerate(columns()) if name not in models() or name in _SHOWN]
    names = [name.replace(" ", "\n") if name in models() else name for name in map(columns().__getitem__, visible)]
    for title, found in rows(report["results"]):
        console.print(_table(title, names, [[row[place] for place in visible] for row in found]), "")
    for line in (*faults(report["results"]), *_missing(report)):
        console.print(line, markup=False, soft_wrap=True)


def show_plan(report: Report) -> None:
    """Print a plan as a table."""
    from rich.console import Console

    console, planned = Console(highlight=False), report["planned"]
    for category, title in TITLES.items():
        own = [sample for sample in planned if sample["category"] == category]
        if own:
            names = ["", "file", "questions", "tokens\neach", "minutes", "NEO-ov\n2B, 9B"]
            console.print(_table(title, names, [_planned(item) for item in own], left=2), "")
    tokens, hours = sum(sample["tokens"] for sample in planned), sum(sample["hours"] for sample in planned)
    here = sum(bool(sample["files"]) for sample in planned)
    console.print(
        f"{here} of {len(planned)} benchmarks have their file in {report['data']}; ✗ marks those that do not, and "
        f"nothing is downloaded. In all {_short(tokens)} tokens, about {_figure(hours)} hours on {report['machine']} "
        f"(prompts at {READING:.0%} of its peak, answers at {WRITING:.0%}).",
        soft_wrap=True,
    )
    unsure = [f"{sample['name']} ({', '.join(sample['unconfirmed'])})" for sample in planned if sample["unconfirmed"]]
    if unsure:
        console.print(f"~ Nothing public confirms: {'; '.join(unsure)}.", soft_wrap=True, markup=False)
    long = [sample["name"] for sample in planned if not sample["fits"]]
    if long:
        console.print(f"Longer than this model's context, as a rule: {', '.join(long)}.", soft_wrap=True)


def _planned(report: Report) -> list[str]:
    names = [Path(path).name for path in report["files"]] or report["expected"]
    file = f"{'✓' if report['files'] else '✗'} {names[0]}" + (f" +{len(names) - 1}" if len(names) > 1 else "")
    unsure = "questions" in report["unconfirmed"] and not report["files"]
    each = f"{report['prompt_tokens'] + report['answer_tokens']:,}"
    papers = ", ".join(_paper(report, name) for name in ("NEO-ov 2B", "NEO-ov 9B"))
    return [report["name"], file, f"{'~' * unsure}{report['asked']:,}", each, _figure(60 * report["hours"]), papers]


def _short(tokens: float) -> str:
    return f"{tokens / 1e6:,.1f} M" if tokens < 1e9 else f"{tokens / 1e9:,.2f} G"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> Table:
    """left: columns of words; the last of them breaks where a terminal is narrow, if it is not the first."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0)
    )
    for place, name in enumerate(names):
        fold = 0 < place == left - 1
        table.add_column(name, justify="left" if place < left else "right", no_wrap=not fold, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table

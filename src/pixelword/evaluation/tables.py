"""Tables of the report, on a terminal and as Markdown in a model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelword.evaluation.markdown_section import Section

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("questions", "chance", "right", "95 %", "without", "wrong image", "errors")
RETRIEVAL = "retrieval: found first / among the first five"
MATCHED = ("pairs", "chance", "text of an image", "95 %", "image of a text")
_WAYS = ("chance", "words", "pictures")
_TITLES = {
    "held-out": "held-out, by family", "real": "real images", "nano": "nano", "nano-real": "nano, real things",
    "data": "own data",
}  # fmt: skip
#: Letters of the first column, at least.
_LABEL = 13
_BEGIN, _END = "<!-- accuracy -->", "<!-- end -->"
Figures = Mapping[str, Any]


def cells(row: Figures) -> list[str]:
    """Return the columns of a report row."""
    right = row["right"]
    shares = [_percent(row[name]["share"]) if row[name] else "–" for name in ("none", "wrong")]
    interval = f"{100 * right['low']:.0f}–{100 * right['high']:.0f}"
    return [str(right["questions"]), chance(row), _percent(right["share"]), interval, *shares, errors(row)]


def chance(row: Figures) -> str:
    return _percent(row["chance"]) if row["chance"] else "–"


def errors(row: Figures) -> str:
    """Format case-insensitive score, character and word error rate, or box overlap, where applicable."""
    found = []
    if row["any_case"] and row["any_case"]["right"] > row["right"]["right"]:
        found.append(f"any case {_percent(row['any_case']['share'])}")
    if row["cer"]:
        found += [f"CER {_percent(row['cer']['value'])}", f"WER {_percent(row['wer']['value'])}"]
    if row["iou"]:
        found.append(f"IoU {row['iou']['value']:.2f}")
    return ", ".join(found)


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def sections(report: Figures) -> Iterator[tuple[str, list[Figures]]]:
    """(title, rows) of each table: categories and tests of drawn data, real tests, nano's kinds with their means."""
    if report["categories"]:
        yield "held-out, by category", report["categories"]
    for suite, title in _TITLES.items():
        if rows := [test["all"] for test in report["tests"] if test["suite"] == suite]:
            yield title, rows + (report["means"] if suite == "nano" else [])


def matched(row: Figures) -> list[str]:
    """Return the row of a retrieval set: its name, and the columns of `MATCHED`."""
    guess, words, pictures = (f"{100 * item['1']:.0f} / {_percent(item['5'])}" for item in (row[way] for way in _WAYS))
    return [row["name"], str(row["pairs"]), guess, words, f"{100 * row['low']:.0f}–{100 * row['high']:.0f}", pictures]


def language(report: Figures) -> str:
    """Return a line on the model's perplexity; "" if it was not measured."""
    figures = report["language"]
    if not figures:
        return ""
    words = f"Perplexity on held-out text ({figures['tokens']:,} tokens): {figures['perplexity']:.2f}"
    if not figures["base"]:
        return f"{words}."
    if figures["base_perplexity"] is None:
        return f"{words}; that of {figures['base']}, which it grew from, is not known: {figures['note']}"
    excess = f"{100 * figures['excess']:+.1f} %"
    return f"{words}; {figures['base']}, which it grew from: {figures['base_perplexity']:.2f} ({excess})."


def show(report: Figures) -> None:
    """Print the report."""
    from rich.console import Console

    console = Console()
    for title, rows in sections(report):
        peers = _peers(rows)
        table = _table(title, ("", *COLUMNS, *peers))
        for row in rows:
            shares = dict(peers_of(row))
            texts = [*cells(row), *(shares.get(name, "–") for name in peers)]
            table.add_row(row["name"], *(text.replace(", ", "\n") for text in texts))
        console.print(table)
    if report["retrieval"]:
        table = _table(RETRIEVAL, ("", *MATCHED))
        for row in report["retrieval"]:
            table.add_row(*matched(row))
        console.print(table)
    if words := language(report):
        console.print(words, markup=False, highlight=False, soft_wrap=True)
    for name, why in report["left_out"].items():
        console.print(f"left out: {name}: {why}", markup=False, soft_wrap=True)


def _table(title: str, columns: Sequence[str]) -> Table:
    """Make a table that fits 80 columns with one baseline."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0)
    )
    for place, name in enumerate(columns):
        table.add_column(
            name.replace(" image", "\nimage"),
            justify="right" if place else "left",
            overflow="fold",
            min_width=None if place else _LABEL,
        )
    return table


def _peers(rows: list[Figures]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["peers"]))


def peers_of(row: Figures) -> list[tuple[str, str]]:
    """Format each baseline's score, and error rate if it read text."""
    found = []
    for name, share in row["peers"].items():
        rate = row["peers_cer"].get(name)
        words = _percent(share["share"])
        found.append((name, f"{words}, CER {_percent(rate['value'], 1)}" if rate else words))
    return found


def markdown(report: Figures) -> str:
    """Return all tables, and the command that produces them."""
    lines: list[str] = []
    for title, rows in sections(report):
        peers = _peers(rows)
        lines += [f"| {title} | " + " | ".join([*COLUMNS, *peers]) + " |"]
        lines += ["|---|" + "---:|" * (len(COLUMNS) + len(peers))]
        for row in rows:
            shares = dict(peers_of(row))
            lines.append(
                "| " + " | ".join([row["name"], *cells(row), *(shares.get(name, "–") for name in peers)]) + " |"
            )
        lines.append("")
    if report["retrieval"]:
        lines += [f"| {RETRIEVAL} | " + " | ".join(MATCHED) + " |", "|---|" + "---:|" * len(MATCHED)]
        lines += ["| " + " | ".join(matched(row)) + " |" for row in report["retrieval"]]
        lines.append("")
    if words := language(report):
        lines += [words, ""]
    lines += [f"Left out: {name}: {why}" for name, why in report["left_out"].items()]
    return "\n".join(lines).strip()


def place(card: Path) -> Section:
    """Return the section of a model card with its tables."""
    return Section(card, _BEGIN, _END, "the tables", "--card")

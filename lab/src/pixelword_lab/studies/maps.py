"""Scores the maps over many synthetic questions, per kind of question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from pixelword.errors import InputError
from pixelword.evaluation import nano
from pixelword.evaluation.scores import bootstrap
from pixelword.evaluation.types import Test
from pixelword.explain.explanation import explain_messages
from pixelword.explain.faithfulness import METHODS, Check

if TYPE_CHECKING:
    from pixelword.explain.explanation import Explanation
    from pixelword.generation.session import Session

#: Everything that a table has a row for.
ROWS = (*METHODS, "chance", "occlusion")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """A kind of question. asked: how many; matter: in how many of them some single patch matters.

    checks: method -> (rank correlation, share found, area) over those where one does; {} where none does.
    """

    kind: str
    asked: int
    matter: int
    checks: dict[str, tuple[Mean, Mean, Mean]]


def score_maps(
    session: Session, questions: int, kinds: Sequence[str] = (), *, seed: int = 0, report: Progress | None = None
) -> Iterator[Row]:
    """A row for each of nano's kinds that has images, and one over all; the same numbers for the same arguments.

    Raises InputError for an unknown kind.
    """
    total: list[tuple[bool, dict[str, Check]]] = []
    for test in _tests(kinds):
        own: list[tuple[bool, dict[str, Check]]] = []
        for number, item in enumerate(test.items(questions, seed)):
            if report is not None:
                report(test.name, number, questions)
            if item.media and (checked := _checked(explain_messages(session, item.messages(), occlusions=256))):
                own.append(checked)
        if own:
            total += own
            yield _row(test.name, own)
    yield _row("all", total)


def _tests(kinds: Sequence[str]) -> list[Test]:
    known = {test.name: test for test in nano.tests()}
    if unknown := [kind for kind in kinds if kind not in known]:
        raise InputError(f"unknown kind {unknown[0]!r}: choose one of {', '.join(known)}")
    return [known[kind] for kind in kinds or known]


def _checked(found: Explanation) -> tuple[bool, dict[str, Check]] | None:
    faithful = found.faithfulness
    return None if faithful is None else (faithful.matter > 0, faithful.checks)


def _row(kind: str, checked: Sequence[tuple[bool, dict[str, Check]]]) -> Row:
    mattering = [checks for matters, checks in checked if matters]
    names = ROWS if mattering else ()

    def three(name: str) -> tuple[Mean, Mean, Mean]:
        found = [checks[name] for checks in mattering]
        return (
            _mean([item.rank for item in found]),
            _mean([item.found for item in found]),
            _mean([item.area for item in found]),
        )

    return Row(kind, len(checked), len(mattering), {name: three(name) for name in names})


def _mean(values: Sequence[float]) -> Mean:
    return Mean(sum(values) / len(values), *bootstrap(values, [1.0] * len(values)))


def table(row: Row, model: str) -> Table:
    """A row of the survey as a table: one line per method."""
    title = f"{row.kind}: in {row.matter} of {row.asked} answers of {model} some single patch matters"
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("method", "rank correlation", "finds, %", "area"):
        made.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for name, title in {**METHODS, "chance": "any order", "occlusion": "occlusion itself"}.items():
        if name in row.checks:
            rank, found, area = row.checks[name]
            made.add_row(title, _interval(rank), _interval(found, 100), _interval(area))
    return made


def _interval(mean: Mean, scale: int = 1) -> str:
    digits = 0 if scale == 100 else 2
    low, value, high = (f"{scale * item:.{digits}f}" for item in (mean.low, mean.value, mean.high))
    return f"{value} [{low}, {high}]"

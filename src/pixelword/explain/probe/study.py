"""Runs probes over the questions of a suite or of one's own, and returns what each found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pixelword.errors import InputError
from pixelword.explain.probe.cka import cka
from pixelword.explain.probe.drift import drift
from pixelword.explain.probe.images import images
from pixelword.explain.probe.knockout import knockout
from pixelword.explain.probe.parts import parts
from pixelword.explain.probe.questions import Questions, Report
from pixelword.explain.probe.readout import readout
from pixelword.explain.probe.retained import retained
from pixelword.explain.probe.sinks import sinks
from pixelword.explain.probe.split import split

if TYPE_CHECKING:
    from pixelword.evaluation.types import Test
    from pixelword.explain.probe.types import Finding
    from pixelword.generation.session import Session

#: Every probe, in the order of the page.
PROBES: dict[str, Callable[[Questions], Finding | None]] = {
    "knockout": knockout,
    "split": split,
    "retained": retained,
    "readout": readout,
    "images": images,
    "drift": drift,
    "sinks": sinks,
    "parts": parts,
    "cka": cka,
}


def probe(
    session: Session,
    tests: Sequence[Test],
    *,
    limit: int = 20,
    only: Sequence[str] = (),
    seed: int = 0,
    report: Report = lambda name, done, total: None,
) -> Iterator[Finding]:
    """Run probes on the questions of tests that have images; each result is yielded as soon as it is there.

    Args:
        limit: Questions of each test.
        only: Names of probes; all by default.
        seed: Another one draws other questions, and other random controls.
        report: Called with (probe, questions done, questions in all).

    Raises:
        InputError: an unknown probe, or no question with an image that fits into the model's context.
    """
    check_names(only)
    yield from run_on(Questions.of(session, tests, limit=limit, seed=seed, report=report), only)


def run_on(questions: Questions, only: Sequence[str] = ()) -> Iterator[Finding]:
    """As `probe`, on questions that are read already."""
    check_names(only)
    for name, run in PROBES.items():
        if not only or name in only:
            found = run(questions)
            if found is not None:
                yield found


def check_names(only: Sequence[str]) -> None:
    """Raise InputError for an unknown probe."""
    if unknown := [name for name in only if name not in PROBES]:
        raise InputError(f"unknown probe {unknown[0]!r}: choose from {', '.join(PROBES)}")

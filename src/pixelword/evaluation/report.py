"""Results of a suite: every score with its number of questions, interval and controls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pixelword.evaluation.batch_generate import Said
from pixelword.evaluation.language import Language
from pixelword.evaluation.means import Rate, Row, Share, means
from pixelword.evaluation.runner import CONDITIONS, Outcome
from pixelword.evaluation.scores import Score, bootstrap, wilson
from pixelword.evaluation.types import Item, Matched

#: Failures that are shown of each test, and of each of its kinds.
FAILURES, _OF_A_KIND = 6, 2


@dataclass(frozen=True)
class Failure:
    """A wrong answer. sure: the model's own probability a token; item: the question with its images."""

    item: Item
    answer: str
    sure: float


Asked = Sequence[tuple[Item, Mapping[str, Said]]]


def pairs(outcome: Outcome) -> list[tuple[Item, dict[str, Said]]]:
    """Pair each item with its answers, by condition."""
    said = outcome.said.items()
    return [(item, {name: by[item.key] for name, by in said if item.key in by}) for item in outcome.items]


def row(name: str, asked: Asked) -> Row:
    """Compute scores of one question or more."""
    names = list(dict.fromkeys(name for _, said in asked for name in said))
    scores = {name: [item.score(said[name].answer) for item, said in asked if name in said] for name in names}
    peers = [name for name in names if name not in CONDITIONS]
    own = scores["right"]
    return Row(
        name,
        chance=statistics.fmean(item.question.chance for item, _ in asked),
        right=_share(own),
        none=_share(scores["none"]) if "none" in scores else None,
        wrong=_share(scores["wrong"]) if "wrong" in scores else None,
        cer=_cer(own),
        wer=_rate([entry.word_errors for entry in own], [entry.words for entry in own]),
        any_case=_any_case(own),
        iou=_rate(
            [entry.iou or 0.0 for entry in own if entry.iou is not None], [1 for entry in own if entry.iou is not None]
        ),
        peers={name: _share(scores[name]) for name in peers},
        peers_cer={name: rate for name in peers if (rate := _cer(scores[name]))},
    )


def _share(scores: Sequence[Score]) -> Share:
    return _of(sum(score.right for score in scores), len(scores))


def _of(right: int, questions: int) -> Share:
    return Share(questions, right, right / questions, *wilson(right, questions))


def _any_case(scores: Sequence[Score]) -> Share | None:
    known = [score.any_case for score in scores if score.any_case is not None]
    return _of(sum(known), len(known)) if known else None


def _cer(scores: Sequence[Score]) -> Rate | None:
    return _rate([score.letter_errors for score in scores], [score.letters for score in scores])


def _rate(above: Sequence[float], below: Sequence[float]) -> Rate | None:
    if not sum(below):
        return None
    return Rate(sum(above) / sum(below), *bootstrap(above, below))


def failures(outcome: Outcome, most: int = FAILURES) -> list[Failure]:
    """Return the most confident wrong answers, few per kind, most confident first."""
    wrong = [
        Failure(item, said["right"].answer, said["right"].sure)
        for item, said in pairs(outcome)
        if not said["right"].fault and not item.score(said["right"].answer).right
    ]
    wrong.sort(key=lambda entry: (-entry.sure, entry.item.key))
    failures: list[Failure] = []
    for entry in wrong:
        of_kind = sum(other.item.question.kind == entry.item.question.kind for other in failures)
        if of_kind < _OF_A_KIND and len(failures) < most:
            failures.append(entry)
    return failures


class Summary:
    """Collects outcomes into the report (JSON and page data). Only images of failures are kept.

    language, retrieval: set by whoever measures them.
    """

    def __init__(self, about: Mapping[str, Any], categories: Sequence[str] = ()) -> None:
        """`about`: model, versions, machine and settings, as JSON has them; `categories`: in the order of tables."""
        self.about, self._order = dict(about), tuple(categories)
        self._begun, self._processor = time.monotonic(), time.process_time()
        self.tests: list[dict[str, Any]] = []
        self.failures: dict[str, list[Failure]] = {}
        self.left_out: dict[str, str] = {}
        self.language: Language | None = None
        self.retrieval: list[Matched] = []
        self._nano: list[Row] = []
        self._categories: dict[str, list[tuple[Item, dict[str, Said]]]] = {}

    def add(self, outcome: Outcome) -> Row | None:
        """Add a test; return its scores, or None if it was skipped."""
        test = outcome.test
        if outcome.left_out:
            self.left_out[test.name] = outcome.left_out
            return None
        answered = pairs(outcome)
        whole = row(test.name, answered)
        kinds = [row(kind, list(own)) for kind, own in _by_kind(answered)]
        faults = sorted({said.fault for by in outcome.said.values() for said in by.values() if said.fault})
        summary = {"name": test.name, "title": test.title, "suite": test.suite, "all": asdict(whole)}
        self.tests.append({**summary, "kinds": [asdict(kind) for kind in kinds], "faults": faults})
        self.failures[test.name] = failures(outcome)
        if test.suite == "nano":
            self._nano.append(whole)
        for item, said in answered:
            if item.category in self._order:
                light = Item(item.key, item.test, item.category, (), item.question, item.also)
                self._categories.setdefault(item.category, []).append((light, said))
        return whole

    def categories(self) -> list[dict[str, Any]]:
        """Return scores per category of synthetic held-out questions, and of those about absent objects."""
        found = [asdict(row(name, self._categories[name])) for name in self._order if name in self._categories]
        absent = [pair for asked in self._categories.values() for pair in asked if pair[0].question.absent]
        return found + ([asdict(row("of these, about what is not there", absent))] if absent else [])

    def finished(self) -> dict[str, Any]:
        """Return the whole report for JSON, with wall-clock and CPU seconds."""
        shown = {
            name: [
                {
                    "key": failure.item.key,
                    "question": failure.item.question.question,
                    "right": list(failure.item.accepted),
                    "answer": failure.answer,
                    "sure": round(failure.sure, 4),
                }
                for failure in failures
            ]
            for name, failures in self.failures.items()
        }
        return {
            "format": 1,
            **self.about,
            "seconds": round(time.monotonic() - self._begun, 1),
            "processor_seconds": round(time.process_time() - self._processor, 1),
            "categories": self.categories(),
            "tests": self.tests,
            "means": [asdict(mean) for mean in means(self._nano)],
            "language": self.language and {**asdict(self.language), "excess": self.language.excess},
            "retrieval": [item.as_json() for item in self.retrieval],
            "left_out": self.left_out,
            "failures": shown,
        }


def _by_kind(asked: Asked) -> Iterator[tuple[str, Iterable[tuple[Item, Mapping[str, Said]]]]]:
    kinds: dict[str, list[tuple[Item, Mapping[str, Said]]]] = {}
    for item, said in asked:
        kinds.setdefault(item.question.kind, []).append((item, said))
    yield from kinds.items()

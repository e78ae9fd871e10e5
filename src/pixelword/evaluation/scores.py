"""Scoring of answers, and confidence intervals."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pixelword.errors import InputError
from pixelword.processing.boxes import quadruples
from pixelword.synthetic.types import Box, Metric

#: An answered box counts from this share of its union with the true one.
IOU = 0.5
Z = 1.959963984540054  # of a two-sided interval of 95 %
_RESAMPLES = 1000
_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))")
_ARTICLE = re.compile(r"^(?:a|an|the) (?=\w\w)")


@dataclass(frozen=True)
class Score:
    """Score of one answer.

    right: it counts as right. letters, words: of the right text, and how many of them were changed, missing or too many
    (metric "words" alone, else 0). iou: of the box, where one was asked for. any_case: whether it is right when the
    case of letters is ignored; None for metrics to which case makes no difference.
    """

    right: bool
    letters: int = 0
    letter_errors: int = 0
    words: int = 0
    word_errors: int = 0
    iou: float | None = None
    any_case: bool | None = None


def score(answer: str, right: Sequence[str], metric: Metric, tolerance: float = 0.0) -> Score:
    """Score an answer against the best matching reference.

    metric: "letter": the same to the letter. "exact": the same words, whatever their case, first article and last full
        stop; a number in words is its digits. "number": the first number of the answer is within `tolerance` (relative)
        of the right one. "words": a text, the same but for white space; its errors are counted. "box": IoU of at least
        `IOU`, every box where there are several. "point": the middle of the answered box is inside the true one.

    Raises:
        InputError: no right answer, an unknown metric, or a right answer without the number or box that is asked for.
    """
    if not right:
        raise InputError(f"a question of metric {metric!r} has no accepted answer: give at least one")
    if metric not in _METRICS:
        raise InputError(f"unknown metric {metric!r}: choose one of {', '.join(_METRICS)}")
    found = [_METRICS[metric](answer, item, tolerance) for item in right]
    return min(found, key=lambda item: (not item.right, item.letter_errors, -(item.iou or 0.0)))


def _letter(answer: str, right: str, _: float) -> Score:
    return Score(answer == right, any_case=answer.casefold() == right.casefold())


def plain(text: str) -> str:
    """Normalise a text for metric "exact"."""
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    words = _ARTICLE.sub("", words.rstrip(".!").rstrip())
    return str(_NUMBERS.index(words)) if words in _NUMBERS else words


def _exact(answer: str, right: str, _: float) -> Score:
    return Score(plain(answer) == plain(right))


def number(text: str) -> float | None:
    """The first number of a text, in digits (1,234.5 and −3 too) or as the word alone; None where there is none."""
    digits = next((found[0] for found in _NUMBER.finditer(plain(text)) if any(map(str.isdigit, found[0]))), None)
    return None if digits is None else float(digits.replace(",", "").replace("−", "-"))


def _number(answer: str, right: str, tolerance: float) -> Score:
    truth, given = number(right), number(answer)
    if truth is None:
        raise InputError(f"the right answer {right!r} has no number, which metric 'number' compares")
    return Score(given is not None and math.isclose(given, truth, rel_tol=0, abs_tol=tolerance * abs(truth) + 1e-9))


def edits(given: Sequence[str], right: Sequence[str]) -> int:
    """Edit distance over characters (or words)."""
    row = list(range(len(right) + 1))
    for i, item in enumerate(given, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (item != other))
    return row[-1]


def _text(answer: str, right: str, _: float) -> Score:
    given, truth = (" ".join(unicodedata.normalize("NFKC", text).split()) for text in (answer, right))
    return Score(
        right=given == truth,
        letters=len(truth),
        letter_errors=edits(given, truth),
        words=len(truth.split()),
        word_errors=edits(given.split(), truth.split()),
        any_case=given.casefold() == truth.casefold(),
    )


def boxes(text: str) -> list[Box]:
    """Return every [x1, y1, x2, y2] of an answer, in thousandths of the image's width and height."""
    return quadruples(text)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 for a box without an area."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inside = max(wide, 0.0) * max(high, 0.0)
    both = sum((max(x2 - x1, 0.0) * max(y2 - y1, 0.0)) for x1, y1, x2, y2 in (a, b)) - inside
    return inside / both if both > 0 else 0.0


def _true_boxes(right: str) -> list[Box]:
    if not (truth := boxes(right)):
        raise InputError(f"the right answer {right!r} has no box [[x1, y1, x2, y2]], which its metric compares")
    return truth


def _box(answer: str, right: str, _: float) -> Score:
    truth, given = _true_boxes(right), boxes(answer)
    pairs = sorted(((iou(a, b), i, j) for i, a in enumerate(given) for j, b in enumerate(truth)), reverse=True)
    matched: dict[int, tuple[int, float]] = {}  # true box -> the answered one that is nearest to it, each taken once
    for share, i, j in pairs:
        if j not in matched and all(i != other for other, _ in matched.values()):
            matched[j] = (i, share)
    shares = [share for _, share in matched.values()] + [0.0] * (max(len(truth), len(given)) - len(matched))
    return Score(min(shares) >= IOU, iou=float(np.mean(shares)))


def _point(answer: str, right: str, _: float) -> Score:
    truth, given = _true_boxes(right)[0], boxes(answer)
    if not given:
        return Score(False, iou=0.0)
    x1, y1, x2, y2 = given[0]
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return Score(truth[0] <= x <= truth[2] and truth[1] <= y <= truth[3], iou=iou(given[0], truth))


_METRICS: dict[str, Callable[[str, str, float], Score]] = {
    "exact": _exact, "letter": _letter, "number": _number, "words": _text, "box": _box, "point": _point,
}  # fmt: skip


def wilson(right: int, questions: int) -> tuple[float, float]:
    """95 % Wilson interval of a share: within 0 to 1, and reliable for few questions."""
    if not 0 <= right <= questions or questions < 1:
        raise InputError(f"{right} right of {questions} questions is not a share")
    share, z2 = right / questions, Z**2
    middle = (share + z2 / (2 * questions)) / (1 + z2 / questions)
    half = Z / (1 + z2 / questions) * math.sqrt(share * (1 - share) / questions + z2 / (4 * questions**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of sum(above) / sum(below) over questions, with a fixed seed.

    Raises InputError if there are no questions.
    """
    if not above or len(above) != len(below) or not sum(below) > 0:
        raise InputError("an interval needs as many numerators as denominators, and at least one question")
    drawn = np.random.default_rng(0).integers(len(above), size=(_RESAMPLES, len(above)))
    parts = np.asarray(above, np.float64)[drawn].sum(1) / np.maximum(np.asarray(below, np.float64)[drawn].sum(1), 1e-9)
    low, high = np.quantile(parts, [0.025, 0.975])
    return float(low), float(high)

"""Scores of groups of questions, and macro averages over the kinds of nano's exam."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixelword.evaluation.scores import Z
from pixelword.synthetic import KINDS

#: The kinds that the first `nano` was trained on; the mean over them is what recipes were first compared by.
TWELVE = (
    "colour", "shape", "count", "where", "what", "yesno", "describe", "digits", "letters", "pair", "motion", "text",
)  # fmt: skip


@dataclass(frozen=True)
class Share:
    """Number of correct answers, with the 95 % interval of the share."""

    questions: int
    right: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Rate:
    """A mean over questions (character error rate, box overlap) with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """Scores of a group of questions: a kind, a test, a category, or a mean over kinds.

    chance: how often a guess among the choices is right, on average; 0 where answers are open.
    right: with their own images; none, wrong: without, and with another question's; None where that was not run.
    any_case: right when the case of letters is ignored; None where case makes no difference.
    cer, wer: errors a letter and a word, of questions for a text; iou: mean overlap, of questions for a box.
    peers: name -> share.
    """

    name: str
    chance: float
    right: Share
    none: Share | None = None
    wrong: Share | None = None
    cer: Rate | None = None
    wer: Rate | None = None
    iou: Rate | None = None
    peers: Mapping[str, Share] | None = None
    peers_cer: Mapping[str, Rate] | None = None
    any_case: Share | None = None


def means(rows: Sequence[Row]) -> list[Row]:
    """The "mean of twelve", over the kinds of the first nano, and the "mean of all", where all their kinds were asked.

    Every kind counts the same, however many questions it had; "count" and "count_of" are one kind, half each.
    """
    known = {row.name: row for row in rows}
    found = []
    for name, kinds in (("mean of twelve", TWELVE), ("mean of all", KINDS)):
        weights = _weights(kinds)
        if weights.keys() <= known.keys():
            found.append(_mean(name, [(known[kind], weight) for kind, weight in weights.items()]))
    return found


def _weights(kinds: Sequence[str]) -> dict[str, float]:
    """Return the weight of every test; they sum to 1."""
    weights = dict.fromkeys(kinds, 1 / len(kinds))
    weights["count"] = weights["count_of"] = weights["count"] / 2
    return weights


def _mean(name: str, rows: Sequence[tuple[Row, float]]) -> Row:
    # questions without an image have no controls, so those are means over the others
    return Row(
        name,
        chance=sum(weight * row.chance for row, weight in rows),
        right=_averaged([(row.right, weight) for row, weight in rows]),
        none=_control([(row.none, weight) for row, weight in rows]),
        wrong=_control([(row.wrong, weight) for row, weight in rows]),
        peers={},
        peers_cer={},
    )


def _control(shares: Sequence[tuple[Share | None, float]]) -> Share | None:
    measured = [(share, weight) for share, weight in shares if share is not None]
    return _averaged(measured) if measured else None


def _averaged(shares: Sequence[tuple[Share, float]]) -> Share:
    """The weighted mean of independent shares. Its interval adds up their variances, each with one more question of
    either outcome, so that a share of 0 or 1 is not taken for certain."""
    total = sum(weight for _, weight in shares)
    mean = sum(weight * item.share for item, weight in shares) / total
    variance = 0.0
    for item, weight in shares:
        smooth = (item.right + 1) / (item.questions + 2)
        variance += (weight / total) ** 2 * smooth * (1 - smooth) / item.questions
    half = Z * math.sqrt(variance)
    return Share(
        sum(item.questions for item, _ in shares),
        sum(item.right for item, _ in shares),
        mean,
        max(0.0, mean - half),
        min(1.0, mean + half),
    )

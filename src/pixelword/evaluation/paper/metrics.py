"""What an answer to a benchmark's question is worth, and how answers become the benchmark's one figure.

Free answers are read as the usual toolkits do without a judge: a letter where one is named, else the one choice whose
words are there. Where upstream lets a language model judge, figures may differ by a point or two.
"""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pixelword.evaluation.paper.files import Row
from pixelword.evaluation.scores import edits, number, plain

_LETTERS = string.ascii_uppercase
_NAMED = re.compile(r"(?:answer|option|choice)\s*(?:is|:)?\s*:?\s*\**\(?([A-Z])\b", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?\(?([^{}]*?)\)?\}")
_ALONE = re.compile(r"^\W*([A-Z])(?:\W|$)")
_LETTER = re.compile(r"(?<![A-Za-z'])([A-Z])(?![A-Za-z'])")
_WORD = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
#: The thresholds of mean relative accuracy (VSI-Bench): 0.50, 0.55, …, 0.95.
_THRESHOLDS = [0.5 + 0.05 * step for step in range(10)]
#: ANLS counts nothing from this distance on; relaxed accuracy forgives this share of a number.
_FAR, _RELAXED = 0.5, 0.05

Scorer = Callable[[Row, str], float]


def letter(text: str, choices: Sequence[str]) -> str:
    """The letter that an answer chooses, "" where it chooses none: the last one that it names."""
    known = _LETTERS[: len(choices)]
    if found := [one.strip() for one in _BOXED.findall(text)]:
        text = found[-1]
    if (alone := _ALONE.match(text)) and alone[1] in known and not (alone[1] == "A" and text.lstrip()[1:2] == " "):
        return alone[1]
    named = [one.upper() for one in _NAMED.findall(text) if one.upper() in known]
    if named:
        return named[-1]
    told = [one for one in choices if one and re.search(rf"(?<!\w){re.escape(plain(one))}(?!\w)", plain(text))]
    longest = max(told, key=len, default="")
    if told and all(plain(one) in plain(longest) for one in told):
        return _LETTERS[list(choices).index(longest)]
    lone = {one for one in _LETTER.findall(text) if one in known and one not in "AI"}
    return lone.pop() if len(lone) == 1 else ""


def yes_no(text: str) -> str:
    """ "yes", "no", or "" for neither: the last word of the two, since reasons come first."""
    found = _WORD.findall(_BOXED.sub(r"\1", text))
    return found[-1].lower() if found else ""


def short(text: str) -> str:
    """The last line, less what introduces an answer: where a model reasons first, that is its answer."""
    if boxed := _BOXED.findall(text):
        return boxed[-1].strip()
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    return re.sub(r"^.*?(?:final answer|answer)(?: is)?\s*:?\s*", "", last, flags=re.IGNORECASE).strip(" *.")


def _choice(row: Row, text: str) -> float:
    return float(letter(text, row.choices) in row.answers)


def _short(row: Row, text: str) -> float:
    return float(any(plain(one) in (plain(text), plain(short(text))) for one in row.answers))


def _yes_no(row: Row, text: str) -> float:
    right = {"1": "yes", "0": "no"}.get(row.answers[0], row.answers[0].strip().lower())
    return float(yes_no(text) == right)


def _anls(row: Row, text: str) -> float:
    def near(right: str) -> float:
        a, b = short(text).casefold(), right.strip().casefold()
        far = edits(a, b) / max(len(a), len(b), 1)
        return 1 - far if far < _FAR else 0.0

    return max(map(near, row.answers))


def _relaxed(row: Row, text: str) -> float:
    def fits(right: str) -> bool:
        told, truth = short(text).rstrip("%"), right.strip().rstrip("%")
        try:
            value = float(truth.replace(",", ""))
        except ValueError:
            return plain(told) == plain(truth)
        given = number(told)
        return given is not None and abs(given - value) <= _RELAXED * abs(value)

    return float(any(map(fits, row.answers)))


def _vqa(row: Row, text: str) -> float:
    """VQA accuracy: of ten people's answers, each left out once, three that agree are enough. One answer: equality."""
    told, right = plain(short(text)), [plain(one) for one in row.answers]
    if len(right) < 3:
        return float(told in right)
    shares = [min(1.0, sum(told == one for j, one in enumerate(right) if j != i) / 3) for i in range(len(right))]
    return sum(shares) / len(shares)


def _contains(row: Row, text: str) -> float:
    """OCRBench: a right answer stands somewhere in it, whatever the case and the lines."""
    told = " ".join(text.casefold().split())
    return float(any(" ".join(one.casefold().split()) in told for one in row.answers))


def _mra(row: Row, text: str) -> float:
    """Mean relative accuracy of a number."""
    truth, given = number(row.answers[0]), number(short(text))
    if truth is None or given is None:
        return 0.0
    far = abs(given - truth) / max(abs(truth), 1e-9)
    return sum(far < 1 - one for one in _THRESHOLDS) / len(_THRESHOLDS)


def _by_choices(other: Scorer) -> Scorer:
    return lambda row, text: (_choice if row.choices else other)(row, text)


@dataclass(frozen=True)
class Metric:
    """score: of one answer, 0 to 1. whole: (rows, scores, answers) -> the figure, 0 to 100; the mean unless said."""

    score: Scorer
    whole: Callable[[Sequence[Row], Sequence[float], Sequence[str]], float]
    title: str


def _mean(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    return 100 * sum(scores) / len(scores)


def _grouped(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """Of groups of questions, those that are right altogether; a question without a group is one of its own."""
    return _all_of([row.group or row.key for row in rows], scores)


def _all_of(groups: Sequence[str], scores: Sequence[float]) -> float:
    found: dict[str, list[float]] = defaultdict(list)
    for group, score in zip(groups, scores, strict=True):
        found[group].append(score)
    return 100 * sum(min(one) for one in found.values()) / len(found)


def _f1(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """POPE's figure: F1 of the answer yes."""
    pairs = [
        (yes_no(text) == "yes", row.answers[0].strip().lower() == "yes")
        for row, text in zip(rows, answers, strict=True)
    ]
    both, either = sum(a and b for a, b in pairs), sum(a + b for a, b in pairs)
    return 200 * both / either if either else 0.0


def _hallusion(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """The mean of the accuracies of questions, of figures and of question pairs; keys end in set_figure_question."""
    parts = [row.key.rsplit("_", 3) for row in rows]
    if any(len(one) < 4 for one in parts):  # another numbering: questions alone
        return _mean(rows, scores, answers)
    figures = [f"{kind} {group} {figure}" for kind, group, figure, _ in parts]
    questions = [f"{kind} {group} {question}" for kind, group, _, question in parts]
    return (_mean(rows, scores, answers) + _all_of(figures, scores) + _all_of(questions, scores)) / 3


def _above_chance(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """SITE's chance-adjusted accuracy: 0 is a guess, 100 is all."""
    chances = [1 / max(len(row.choices), 1) if row.choices else 0.0 for row in rows]
    return 100 * sum(s - c for s, c in zip(scores, chances, strict=True)) / max(sum(1 - c for c in chances), 1e-9)


METRICS = {
    "choice": Metric(_choice, _grouped, "accuracy"),
    "choice_or_short": Metric(_by_choices(_short), _mean, "accuracy"),
    "choice_or_mra": Metric(_by_choices(_mra), _mean, "accuracy and MRA"),
    "choice_above_chance": Metric(_choice, _above_chance, "accuracy above chance"),
    "hallusion": Metric(_yes_no, _hallusion, "mean of three accuracies"),
    "yes_f1": Metric(_yes_no, _f1, "F1"),
    "anls": Metric(_anls, _mean, "ANLS"),
    "relaxed": Metric(_relaxed, _mean, "relaxed accuracy"),
    "vqa": Metric(_vqa, _mean, "VQA accuracy"),
    "contains": Metric(_contains, _mean, "accuracy"),
}

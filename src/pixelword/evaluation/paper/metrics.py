"""Scores of answers, and their aggregation into a benchmark's figure.

Rules are those of the evaluation that the paper's figures come from (see `source` in benchmarks.yaml), so answers count
as they are: ANLS is of the whole answer, a chart's number is the whole answer, not a last line.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pixelword.evaluation.paper import answer_extraction
from pixelword.evaluation.paper.files import Row
from pixelword.evaluation.scores import edits, plain

#: The thresholds of mean relative accuracy: 0.50, 0.55, …, 0.95, as VSI-Bench makes them (edges hang on the last bit).
_THRESHOLDS = np.linspace(0.5, 0.95, 10).tolist()
#: ANLS counts nothing beyond this distance; relaxed accuracy forgives this share of a number.
_FAR, _RELAXED = 0.5, 0.05
#: SPAR-Bench's movements of the camera, each with its opposite.
_MOVES = (
    ("move_right", "move_left"), ("move_up", "move_down"), ("move_forward", "move_backward"),
    ("rotate_right", "rotate_left"), ("rotate_up", "rotate_down"),
)  # fmt: skip
#: VQA's punctuation, and words that count for nothing or as a digit.
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(size) for size, word in enumerate(_COUNTED)}

Scorer = Callable[[Row, str], float]


def _chosen(read: answer_extraction.Reader) -> Scorer:
    return lambda row, text: float(read(text, row.choices) in row.answers)


def _short(row: Row, text: str) -> float:
    return float(any(plain(answer) in (plain(text), plain(answer_extraction.short(text))) for answer in row.answers))


def _mmmu(row: Row, text: str) -> float:
    """MMMU's open questions: correct if contained in a short answer, else as other open ones."""
    if row.choices:
        return _chosen(answer_extraction.letter)(row, text)
    held = any(
        answer.lower() in text.lower() and len(text) <= 2 * len(answer + "Other Answers") for answer in row.answers
    )
    return max(float(held), _short(row, text))


def _yes_no(row: Row, text: str) -> float:
    right = {"1": "yes", "0": "no"}.get(row.answers[0], row.answers[0].strip().lower())
    return float(answer_extraction.yes_no(text) == right)


def _anls(row: Row, text: str) -> float:
    def near(right: str) -> float:
        a, b = (" ".join(item.lower().split()) for item in (text, right))
        worth = 1 - edits(a, b) / max(len(text), len(right), 1)
        return worth if worth >= _FAR else 0.0

    return max(map(near, row.answers))


def _relaxed(row: Row, text: str) -> float:
    def value(item: str) -> float | None:
        try:
            return float(item.rstrip("%")) / 100 if item.endswith("%") else float(item)
        except ValueError:
            return None

    def fits(right: str) -> bool:
        truth, given = value(right), value(text.strip())
        if given is None or not truth:
            return text.strip().lower() == right.lower()
        return abs(given - truth) <= _RELAXED * abs(truth)

    return float(any(map(fits, row.answers)))


def _vqa(row: Row, text: str) -> float:
    """VQA accuracy: of ten people's answers, each left out once, three that agree are enough. One answer: equality."""
    given, right = _vqa_form(text), [_vqa_form(answer) for answer in row.answers]
    if len(right) < 3:
        return float(given in right)
    shares = [min(1.0, sum(given == item for j, item in enumerate(right) if j != i) / 3) for i in range(len(right))]
    return sum(shares) / len(shares)


def _vqa_form(text: str) -> str:
    """Normalise an answer for VQA: no punctuation or articles, small numbers in digits."""
    text = " ".join(re.split(r"[\n\t]", text)).strip()
    is_number = re.search(r"\d,\d", text) is not None
    form = text
    for item in _PUNCTUATION:
        form = form.replace(item, "" if is_number or f"{item} " in text or f" {item}" in text else " ")
    words = re.sub(r"(?<!\d)\.(?!\d)", "", form).lower().split()
    return " ".join(_DIGITS.get(word, word) for word in words if word not in ("a", "an", "the"))


def _contains(row: Row, text: str) -> float:
    """OCRBench: contains a correct answer, ignoring case; in formulas, ignoring spaces."""
    if row.kind == "Handwritten Mathematical Expression Recognition":
        given = "".join(re.split(r"[ \n]", text.strip()))
        return float(any("".join(re.split(r"[ \n]", answer.strip())) in given for answer in row.answers))
    given = text.lower().strip().replace("\n", " ")
    return float(any(answer.lower().strip().replace("\n", " ") in given for answer in row.answers))


def _near(given: float, truth: float) -> float:
    """Mean relative accuracy of a number: the share of thresholds it meets."""
    far = abs(given - truth) / (abs(truth) or 1.0)
    return sum(far <= 1 - item for item in _THRESHOLDS) / len(_THRESHOLDS)


def _mra(row: Row, text: str) -> float:
    truth, given = answer_extraction.figure(row.answers[0]), answer_extraction.figure(text)
    return 0.0 if truth is None or given is None else _near(given, truth)


def _vsi(row: Row, text: str) -> float:
    return (_chosen(answer_extraction.last) if row.choices else _mra)(row, text)


def _spar(row: Row, text: str) -> float:
    """SPAR-Bench: a letter, a number, or camera movements, depending on the reference."""
    right = row.answers[0].strip()
    if row.choices or re.fullmatch("[A-F]", right):
        return _chosen(answer_extraction.last)(row, text)
    if ":" not in right:
        return _mra(row, text)
    given, true = _moved(text), _moved(right)
    return sum(_near(a, b) for a, b in zip(given, true, strict=True)) / len(_MOVES)


def _moved(text: str) -> list[float]:
    """Parse the amount of each movement: `move_right:0.3,rotate_up:10`."""
    found = {name: float(size) for name, size in re.findall(r"(\w+)\s*:\s*([-+]?\d*\.?\d+)\s*(?=,|$)", text)}
    return [found.get(there, 0.0) - found.get(back, 0.0) for there, back in _MOVES]


@dataclass(frozen=True)
class Metric:
    """score: of one answer, 0 to 1. whole: (rows, scores, answers) -> the figure, 0 to 100; by default the mean."""

    score: Scorer
    whole: Callable[[Sequence[Row], Sequence[float], Sequence[str]], float]
    title: str


def _mean(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    return 100 * sum(scores) / len(scores)


def _grouped(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """Share of groups with all questions correct; a question without a group counts as one."""
    return _all_of([row.group or row.key for row in rows], scores)


def _all_of(groups: Sequence[str], scores: Sequence[float]) -> float:
    found: dict[str, list[float]] = defaultdict(list)
    for group, score in zip(groups, scores, strict=True):
        found[group].append(score)
    return 100 * sum(min(item) for item in found.values()) / len(found)


def _by_kind(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """Mean of the means per kind; kinds that differ only in difficulty (`…_easy`) are merged."""
    means: dict[str, list[float]] = defaultdict(list)
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [score for row, score in zip(rows, scores, strict=True) if row.kind == kind]
        means[re.sub("_(easy|medium|hard)$", "", kind)].append(sum(own) / len(own))
    return 100 * sum(sum(mean) / len(mean) for mean in means.values()) / len(means)


def _f1(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """POPE's figure: F1 of the answer yes; a question counts once for each of its splits (`adversarial,popular`)."""
    both = either = 0
    for row, text in zip(rows, answers, strict=True):
        said, is_so = answer_extraction.yes_no(text) == "yes", row.answers[0].strip().lower() == "yes"
        splits = row.kind.count(",") + 1
        both, either = both + splits * (said and is_so), either + splits * (said + is_so)
    return 200 * both / either if either else 0.0


def _hallusion(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """The mean of the accuracies of questions, of figures and of question pairs; keys end in set_figure_question."""
    parts = [row.key.rsplit("_", 3) for row in rows]
    if any(len(part) < 4 for part in parts):  # another numbering: questions alone
        return _mean(rows, scores, answers)
    figures = [f"{kind} {group} {figure}" for kind, group, figure, _ in parts]
    questions = [f"{kind} {group} {question}" for kind, group, _, question in parts]
    return (_mean(rows, scores, answers) + _all_of(figures, scores) + _all_of(questions, scores)) / 3


def _above_chance(rows: Sequence[Row], scores: Sequence[float], answers: Sequence[str]) -> float:
    """SITE's chance-adjusted accuracy: 0 is a guess, 100 is all."""
    chances = [1 / max(len(row.choices), 1) if row.choices else 0.0 for row in rows]
    return 100 * sum(s - c for s, c in zip(scores, chances, strict=True)) / max(sum(1 - c for c in chances), 1e-9)


METRICS = {
    "choice": Metric(_chosen(answer_extraction.letter), _grouped, "accuracy"),
    "choice_or_short": Metric(
        lambda row, text: (_chosen(answer_extraction.letter) if row.choices else _short)(row, text), _mean, "accuracy"
    ),
    "choice_opening": Metric(_chosen(answer_extraction.opening), _mean, "accuracy"),
    "choice_first": Metric(_chosen(answer_extraction.first), _mean, "accuracy"),
    "choice_last": Metric(_chosen(answer_extraction.last), _mean, "accuracy"),
    "choice_stated": Metric(
        lambda row, text: (_chosen(answer_extraction.stated) if row.choices else _short)(row, text), _mean, "accuracy"
    ),
    "choice_above_chance": Metric(_chosen(answer_extraction.last), _above_chance, "accuracy above chance"),
    "mmmu": Metric(_mmmu, _mean, "accuracy"),
    "vsi": Metric(_vsi, _by_kind, "accuracy and MRA, by kind"),
    "spar": Metric(_spar, _by_kind, "accuracy and MRA, by kind"),
    "hallusion": Metric(_yes_no, _hallusion, "mean of three accuracies"),
    "yes_f1": Metric(_yes_no, _f1, "F1"),
    "anls": Metric(_anls, _mean, "ANLS"),
    "relaxed": Metric(_relaxed, _mean, "relaxed accuracy"),
    "vqa": Metric(_vqa, _mean, "VQA accuracy"),
    "contains": Metric(_contains, _mean, "accuracy"),
}

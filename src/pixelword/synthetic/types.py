"""Drawn questions: a text, the answer that is true by construction, and how another answer is compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test"]
#: How an answer is compared with the right one; see `evaluation.scores`.
Metric = Literal["exact", "letter", "number", "words", "box", "point"]
#: (x1, y1, x2, y2) in pixels of its image, from the top left; x2 and y2 are exclusive.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Question:
    """One question about a task's media.

    kind: the skill, one of its family's `kinds`. answer: right by construction, in the words that are trained.
    metric: how another answer is compared with it. choices: the answers that are equally likely without looking, the
    right one among them; () where they are open. absent: it asks about what is not there ("no", "none", "0" is right).
    boxes: (number of the image or frame, box) of what the answer rests on, for pages and for tests.
    tolerance: relative, for "number".
    """

    kind: str
    question: str
    answer: str
    metric: Metric = "exact"
    choices: tuple[str, ...] = ()
    absent: bool = False
    boxes: tuple[tuple[int, Box], ...] = ()
    tolerance: float = 0.0

    @property
    def chance(self) -> float:
        """How often a guess is right without looking; 0 where answers are open."""
        return 1 / len(self.choices) if self.choices else 0.0

"""Text alone: the facts of facts.txt, and sums.

The test asks known facts in wordings that training never uses, and sums that training never shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from random import Random

from pixelword.synthetic.questions import Turn
from pixelword.synthetic.scenes import Split
from pixelword.synthetic.wording import phrase

FACTS_FILE = "facts.txt"
_SUM_WORDINGS = {
    "train": ("What is {a} {op} {b}?", "What is {a} {op} {b}?", "How much is {a} {op} {b}?", "{a} {sign} {b} ="),
    "test": ("What is {a} {op} {b}?", "How much is {a} {op} {b}?"),
}
_SUMS_SHARE = 0.25


@dataclass(frozen=True)
class Topic:
    """One section of the facts. wordings and held_out hold ``{}`` for the key; facts: (key, answer) pairs."""

    name: str
    wordings: tuple[str, ...]
    held_out: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


@lru_cache(maxsize=1)
def topics() -> tuple[Topic, ...]:
    """The sections of the facts file; ValueError with the line when it is malformed."""
    found: dict[str, tuple[list[str], list[str], list[tuple[str, str]]]] = {}
    wordings: list[str] = []
    held_out: list[str] = []
    facts: list[tuple[str, str]] = []
    lines = files("pixelword.synthetic").joinpath(FACTS_FILE).read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            wordings, held_out, facts = found.setdefault(line[1:-1], ([], [], []))
        elif line.startswith("? "):
            wordings.append(line[2:])
        elif line.startswith("! "):
            held_out.append(line[2:])
        elif " <> " in line:
            item, other = line.split(" <> ")
            facts += [(item, other), (other, item)]
        elif " = " in line:
            key, answer = line.split(" = ")
            facts.append((key, answer))
        else:
            raise ValueError(f"{FACTS_FILE}, line {number}: {line!r} is not a section, wording or fact; see its head")
    return tuple(Topic(name, tuple(w), tuple(h), tuple(f)) for name, (w, h, f) in found.items())


def is_held_out_sum(a: int, b: int) -> bool:
    """True for the tenth of the sums that only the test asks."""
    return (7 * a + 3 * b) % 10 == 1


def ask_text(rng: Random, split: Split) -> Turn:
    """A question that needs no image."""
    return _ask_sum(rng, split) if rng.random() < _SUMS_SHARE else _ask_fact(rng, split)


def _ask_fact(rng: Random, split: Split) -> Turn:
    usable = [topic for topic in topics() if split == "train" or topic.held_out]
    # the square root keeps the short topics from being asked far more often, or hardly at all
    topic = rng.choices(usable, [len(topic.facts) ** 0.75 for topic in usable])[0]
    key, answer = rng.choice(topic.facts)
    wordings = topic.wordings if split == "train" else topic.held_out
    question = phrase(rng, [wording.replace("{}", key) for wording in wordings])
    return _turn(question, answer, ("fact", topic.name, key))


def _ask_sum(rng: Random, split: Split) -> Turn:
    while True:
        a, b, minus = rng.randint(0, 9), rng.randint(0, 9), rng.random() < 0.4
        if is_held_out_sum(a, b) == (split == "test") and (a >= b or not minus):
            break
    op, sign = ("minus", "-") if minus else ("plus", "+")
    question = phrase(rng, _SUM_WORDINGS[split], a=str(a), b=str(b), op=op, sign=sign)
    return _turn(question, str(a - b if minus else a + b), ("sum", a, b, op))


def _turn(question: str, answer: str, fact: tuple[object, ...]) -> Turn:
    return Turn("text", question, answer, frozenset({fact}), frozenset({fact}))

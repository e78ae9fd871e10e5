"""easy-VQA: one shape on a ground, which shape, which colour, yes or no; images and questions of that data set.

Taught from its own train split, and asked by the suite "real" from its own test split.
"""

from __future__ import annotations

from random import Random

from pixelword.processing.images import load_image
from pixelword.synthetic.assets import Assets, Item
from pixelword.synthetic.types import Question, Split
from pixelword_lab.candidates import Candidate, choose
from pixelword_lab.family import Family, Task

PACK = "easyvqa"
#: Kind of question -> its answers.
ANSWERS = {
    "yes or no": ("yes", "no"),
    "shape": ("circle", "rectangle", "triangle"),
    "colour": ("black", "gray", "red", "green", "blue", "yellow", "teal", "brown"),
}


def questions(item: Item) -> list[Question]:
    """What the data set asks about one of its images, in its order."""
    return [_question(words, answer) for words, answer in item["questions"]]


def _question(words: str, answer: str) -> Question:
    kind = "yes or no" if answer in ANSWERS["yes or no"] else "colour" if "color" in words else "shape"
    return Question(kind, words, answer, choices=ANSWERS[kind])


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """One of its images and one or two of its questions, none about what another one tells."""
    pack = assets.pack(PACK)
    item = rng.choice(pack.of(split))
    asked = choose(rng, [_candidate(question) for question in questions(item)], rng.randint(1, 2))
    picture = load_image(pack.read(item["file"])).convert("RGB")
    return Task(({"type": "image", "image": picture},), asked, (f"{PACK}:{item['key']}",))


def _candidate(question: Question) -> Candidate:
    """ "What is the red shape?" is about the shape, and tells the colour, too."""
    named = {kind for kind in ("shape", "colour") if set(ANSWERS[kind]) & set(question.question.rstrip("?").split())}
    asks = named if question.kind == "yes or no" else {question.kind}
    return Candidate(question, frozenset(asks), frozenset(named | asks))


FAMILY = Family(
    PACK, "easy-VQA: one shape, its own data set", dict.fromkeys(ANSWERS, "image"), draw, needs=(PACK,), suite="real"
)

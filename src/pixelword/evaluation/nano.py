"""nano's own tasks on held-out images: one test per kind.

Answers are compared exactly; reading tasks also report error rates, and boxes their overlap.
"""

from __future__ import annotations

from functools import partial
from itertools import islice

import numpy as np

from pixelword import synthetic as nano
from pixelword.errors import InputError
from pixelword.evaluation.types import Item, Suite, Test
from pixelword.processing.types import Sample
from pixelword.synthetic.types import Metric, Question

CATEGORY = "nano"
#: Questions of a kind, and how many of them are asked without and with a wrong image, too. With these the whole suite
#: took the first packaged model (2.8M) 87 processor-seconds on an AMD EPYC without AVX-512.
QUESTIONS, CONTROLS = 200, 100
_METRICS: dict[str, Metric] = {"glyph": "words", "read": "words", "line": "words", "find": "box", "box": "box"}


def tests(level: float = 1.0) -> list[Test]:
    """Return a test for every kind of question. level: 0 (easy) to 1."""
    return [Test(kind, kind, "nano", partial(_items, kind, level), QUESTIONS, CONTROLS) for kind in nano.ASKED]


def held_out(kind: str, questions: int, level: float, seed: int) -> list[Sample]:
    """Return `questions` held-out samples of this kind, deterministic in the arguments.

    Raises InputError for an unknown kind, or one that is too rare at this level.
    """
    rng = np.random.default_rng([seed, *kind.encode()])
    family = "count" if kind == "count_of" else kind
    # "count_of" is not asked of the easiest images; where it is, one in twenty draws is far below its share
    drawn = (nano.draw(family, rng, level=level, split="test") for _ in range(20 * questions))
    samples = list(islice((sample for sample in drawn if sample.kind == kind), questions))
    if len(samples) < questions:
        raise InputError(f"kind {kind!r} hardly occurs at level {level}: give a higher level")
    return samples


def _items(kind: str, level: float, number: int | None, seed: int) -> list[Item]:
    return [
        _item(kind, f"{kind}/{seed}-{place}", sample)
        for place, sample in enumerate(held_out(kind, 1000 if number is None else number, level, seed))
    ]


def _item(kind: str, key: str, sample: Sample) -> Item:
    *_, user, answer = sample.messages
    content = user["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    words = "".join(part["text"] for part in parts if part["type"] == "text")
    media = tuple(part for part in parts if part["type"] != "text")
    right = answer["content"]
    choices = nano.choices(kind, words, right)
    return Item(key, kind, CATEGORY, media, Question(kind, words, right, _METRICS.get(kind, "letter"), choices))


SUITE = Suite("nano", lambda assets: tests())

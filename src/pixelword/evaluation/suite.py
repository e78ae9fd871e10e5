"""What is asked: the suites, their tests, and the questions of a test.

"held-out" are the drawn families on assets that training never saw, "real" packaged images and clips with answers of
people, "nano" what nano learns, and "nano-real" that on real things. The same number and the same seed give a test the
same questions.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count, islice
from typing import Any

from PIL import Image

from pixelword.errors import InputError
from pixelword.evaluation.scores import Score, score
from pixelword.tasks import family
from pixelword.tasks.assets import Assets
from pixelword.tasks.family import Question

SUITES = ("held-out", "real", "nano", "nano-real", "retrieval")
#: The categories of drawn families, in the order of tables; real tests and nano's kinds have their suite's name.
CATEGORIES = (
    "image", "text in pictures", "hallucination", "grounding", "multi-image", "video", "spatial", "language",
)  # fmt: skip

Part = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One question with its images, asked by itself.

    key: its name within the suites, "scenes/17/2". test, category: where it counts. media: chat parts.
    question: with the right answer; also: other answers that are as right.
    """

    key: str
    test: str
    category: str
    media: tuple[Part, ...]
    question: Question
    also: tuple[str, ...] = ()

    @property
    def accepted(self) -> tuple[str, ...]:
        return (self.question.answer, *self.also)

    def score(self, answer: str) -> Score:
        """What an answer to it is worth."""
        return score(answer, self.accepted, self.question.metric, self.question.tolerance)

    def messages(self, media: Sequence[Part] | None = None) -> list[dict[str, Any]]:
        """The conversation up to the answer, about its own media or about others."""
        shown = self.media if media is None else media
        words = {"type": "text", "text": self.question.question}
        return [{"role": "user", "content": [*shown, words]}]

    @cached_property
    def digest(self) -> str:
        """Sixteen digits that change with the question, its answers, or a pixel of its media."""
        hashed = hashlib.sha256(json.dumps([self.question.question, self.accepted, self.question.metric]).encode())
        for frame in frames(self.media):
            hashed.update(repr(frame.size).encode() + frame.tobytes())
        return hashed.hexdigest()[:16]


def frames(media: Sequence[Part]) -> Iterator[Image.Image]:
    """Every image of some media, the frames of clips included, in order."""
    for part in media:
        if part["type"] == "image":
            yield part["image"]
        else:
            yield from part["video"].frames


@dataclass(frozen=True)
class Test:
    """A named set of questions.

    items: (number, seed) -> up to `number` questions, all for None. default: how many are used by default.
    controls: how many of them without and with a wrong image, too; None: all.
    """

    __test__ = False  # pytest, which collects classes of this name

    name: str
    title: str
    suite: str
    items: Callable[[int | None, int], list[Item]]
    default: int
    controls: int | None = None


def chosen(suites: Sequence[str], names: Sequence[str] = (), assets: Assets | None = None) -> list[Test]:
    """The tests of some suites, in order; only those of these names where names are given.

    "retrieval" has none: its sets of pairs are `matching.SOURCES`, whose names may be given, too.
    Raises InputError for an unknown suite, or a name that none of them has.
    """
    if unknown := [suite for suite in suites if suite not in SUITES]:
        raise InputError(f"there is no suite {unknown[0]!r}: choose one of {', '.join(SUITES)}")
    packs = assets or Assets()
    found = [one for suite in SUITES if suite in suites for one in _tests(suite, packs)]
    known = [one.name for one in found] + (_pair_sets() if "retrieval" in suites else [])
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"{' and '.join(suites)} has no test {unknown[0]!r}: choose one of {', '.join(known)}")
    return [one for one in found if not names or one.name in names]


def _tests(suite: str, assets: Assets) -> list[Test]:
    """The tests of one suite; "retrieval" has sets of pairs, and no questions."""
    if suite == "held-out":
        return held_out(assets)
    if suite == "real":
        from pixelword.evaluation import real

        return real.tests(assets)
    if suite == "nano":
        from pixelword.evaluation import nano

        return nano.tests()
    if suite == "nano-real":
        from pixelword.evaluation import nano_real

        return nano_real.tests(assets)
    return []


def _pair_sets() -> list[str]:
    from pixelword.evaluation import matching

    return [one.name for one in matching.SOURCES]


def held_out(assets: Assets) -> list[Test]:
    """A test for every family of tasks that no other suite asks."""
    return [_of_family(name, assets) for name in family.NAMES if family.family(name).suite == "held-out"]


def _of_family(name: str, assets: Assets) -> Test:
    title = family.family(name).title
    return Test(name, title, "held-out", partial(_drawn, name, assets), 60, 20)


def _drawn(name: str, assets: Assets, number: int | None, seed: int) -> list[Item]:
    """One question a task, of the kind that was asked least so far: images are independent, and kinds even."""
    wanted, kinds = 1000 if number is None else number, family.family(name).kinds
    asked: Counter[str] = Counter(dict.fromkeys(kinds, 0))
    found: list[Item] = []
    for place in islice(count(seed * 1_000_000), wanted):
        task = family.draw(name, place, "test", assets)
        index = min(range(len(task.questions)), key=lambda one: (asked[task.questions[one].kind], one))
        question = task.questions[index]
        asked[question.kind] += 1
        found.append(Item(f"{name}/{place}/{index}", name, kinds[question.kind], task.media, question))
    return found

"""Types of an evaluation: items, tests, suites, and retrieval sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from pixelword.evaluation.scores import Score, score
from pixelword.synthetic.types import Question

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.synthetic.assets import Assets

Part = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One question with its images, independent of others.

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
        """Score an answer."""
        return score(answer, self.accepted, self.question.metric, self.question.tolerance)

    def messages(self, media: Sequence[Part] | None = None) -> list[dict[str, Any]]:
        """Return the conversation up to the answer, with its own media or others."""
        parts = self.media if media is None else media
        words = {"type": "text", "text": self.question.question}
        return [{"role": "user", "content": [*parts, words]}]

    @cached_property
    def digest(self) -> str:
        """Digest of the question, its answers and the pixels of its media."""
        hashed = hashlib.sha256(json.dumps([self.question.question, self.accepted, self.question.metric]).encode())
        for frame in frames(self.media):
            hashed.update(repr(frame.size).encode() + frame.tobytes())
        return hashed.hexdigest()[:16]


def frames(media: Sequence[Part]) -> Iterator[Image.Image]:
    """Return every image of media in order, including clip frames."""
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


@dataclass(frozen=True)
class Matched:
    """Retrieval results. name: of the set; pairs: number of images, and of texts.

    words: k -> share of images whose text is among their first k (k = 1: naming them right); pictures: of texts whose
    image is; chance: what a guess finds. low, high: the 95 % interval of words[1].
    """

    name: str
    pairs: int
    words: dict[int, float]
    pictures: dict[int, float]
    chance: dict[int, float]
    low: float
    high: float

    def as_json(self) -> dict[str, Any]:
        """As JSON has it."""
        of_ks = ("words", "pictures", "chance")
        return asdict(self) | {name: {str(k): item for k, item in getattr(self, name).items()} for name in of_ks}


class Measure(Protocol):
    """Measures a retrieval set. Raises AssetError if its assets are missing."""

    def __call__(
        self, session: Session, assets: Assets, *, number: int, seed: int, report: Callable[[str, int, int], None]
    ) -> Matched:
        """`number` pairs at most; report: called with (set, images done, images in all)."""


@dataclass(frozen=True)
class PairSet:
    """A named set of matching images and texts. default, full: number of pairs by default, and in a full run."""

    name: str
    measure: Measure
    default: int
    full: int


@dataclass(frozen=True)
class Suite:
    """Tests that run together.

    tests: the packs' folder -> all of them, whether what they need is there or not. pairs: sets of pairs beside them.
    categories: of its items, in the order of tables; () where answers are not summed up by category.
    perplexity: the test beside which perplexity on held-out text is measured; None: it is not.
    """

    name: str
    tests: Callable[[Assets], list[Test]]
    pairs: tuple[PairSet, ...] = ()
    categories: tuple[str, ...] = ()
    perplexity: str | None = None

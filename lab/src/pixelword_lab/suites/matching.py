"""Retrieval and zero-shot naming on held-out images: which text belongs to which image, and the other way round.

By the likelihood of words, without any training (`retrieval`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from PIL import Image

from pixelword.errors import AssetError
from pixelword.evaluation.scores import wilson
from pixelword.evaluation.types import Matched, Measure, PairSet, Suite
from pixelword.synthetic.types import Split
from pixelword_lab import family
from pixelword_lab.drawing.objects import clash, concepts
from pixelword_lab.families import flags
from pixelword_lab.suites import retrieval

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.synthetic.assets import Assets

#: Pairs of each set by default, and of a full run.
PAIRS, FULL = 48, 256
_KS = (1, 5)
#: Images in a row without a new text after which a set has no more.
_PATIENCE = 2000


@dataclass(frozen=True)
class Pair:
    """An image and the text that belongs to it, unlike every other text of its set."""

    picture: Image.Image
    text: str


@dataclass(frozen=True)
class Source:
    """A set of pairs. question: asked about every image; drawn: (assets, split, seed) -> pairs without end, texts may
    come again; apart: whether two of its texts cannot both be right of one image."""

    name: str
    question: str
    drawn: Callable[[Assets, Split, int], Iterator[Pair]]
    apart: Callable[[str, str], bool]


def _captions(kind: str) -> Callable[[Assets, Split, int], Iterator[Pair]]:
    """The family `captions`, where it asks a question of this kind about things."""

    def drawn(assets: Assets, split: Split, seed: int) -> Iterator[Pair]:
        for number in count(seed * 1_000_000):
            task = family.draw("captions", number, split, assets)
            asked = next((question for question in task.questions if question.kind == kind), None)
            if asked is not None and not (kind == "name" and asked.answer not in concepts()):
                yield Pair(task.media[0]["image"], asked.answer)

    return drawn


def _flags(assets: Assets, split: Split, seed: int) -> Iterator[Pair]:
    if not flags.drawings(assets, split):
        raise AssetError(f"{assets.folder} has no flags for {split}: pixelword tasks fetch {' '.join(flags.PACKS)}")
    for number in count(seed * 1_000_000):
        picture, country = flags.shown(Random(f"flags {split} {number}"), split, assets)
        yield Pair(picture, country)


SOURCES = (
    Source("names", "What is this?", _captions("name"), lambda a, b: not clash(a, b)),
    Source("captions", "Describe the picture.", _captions("caption"), lambda a, b: a != b),
    Source("flags", "Which country's flag is this?", _flags, lambda a, b: a != b),
)


def pairs(source: Source, assets: Assets, number: int, split: Split = "test", seed: int = 0) -> list[Pair]:
    """Up to `number` pairs whose texts differ. Raises AssetError: a pack is missing."""
    found: list[Pair] = []
    since = 0
    for item in source.drawn(assets, split, seed):
        since += 1
        if all(source.apart(item.text, other.text) for other in found):
            found.append(item)
            since = 0
        if len(found) == number or since == _PATIENCE:
            return found
    raise AssertionError("a source has no end")


def matched(
    session: Session,
    source: Source,
    assets: Assets,
    *,
    number: int = PAIRS,
    seed: int = 0,
    report: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Matched:
    """A set measured by likelihood.

    report: called with (set, images done, images in all). Raises AssetError: a pack is missing.
    """
    held = pairs(source, assets, number, "test", seed)
    pictures, texts = [item.picture for item in held], [item.text for item in held]

    def done(number: int) -> None:
        report(source.name, number, len(held))

    table = retrieval.scores(session, pictures, texts, source.question, done)
    item = retrieval.recall(table, _KS)
    low, high = wilson(round(item.words[1] * len(table)), len(table))
    return Matched(source.name, len(table), item.words, item.pictures, item.chance, low, high)


def _measured(source: Source) -> Measure:
    return lambda session, assets, **settings: matched(session, source, assets, **settings)


SUITE = Suite(
    "retrieval",
    lambda assets: [],
    tuple(PairSet(source.name, _measured(source), PAIRS, FULL) for source in SOURCES),
)

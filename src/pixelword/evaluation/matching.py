"""Retrieval and zero-shot naming on held-out images: which text belongs to which image, and the other way round.

By the likelihood of words, without any training (`retrieval`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from PIL import Image

from pixelword.errors import AssetError
from pixelword.evaluation import retrieval
from pixelword.evaluation.scores import wilson
from pixelword.tasks import family
from pixelword.tasks.families import flags
from pixelword.tasks.family import Split
from pixelword.tasks.things import clash, concepts

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.tasks.assets import Assets

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


@dataclass(frozen=True)
class Matched:
    """How well partners were found. name: of the set; pairs: images, and as many texts.

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
        return asdict(self) | {name: {str(k): one for k, one in getattr(self, name).items()} for name in of_ks}


def _captions(kind: str) -> Callable[[Assets, Split, int], Iterator[Pair]]:
    """The family `captions`, where it asks a question of this kind about things."""

    def drawn(assets: Assets, split: Split, seed: int) -> Iterator[Pair]:
        for number in count(seed * 1_000_000):
            task = family.draw("captions", number, split, assets)
            asked = next((one for one in task.questions if one.kind == kind), None)
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
    for one in source.drawn(assets, split, seed):
        since += 1
        if all(source.apart(one.text, other.text) for other in found):
            found.append(one)
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
    pictures, texts = [one.picture for one in held], [one.text for one in held]

    def done(number: int) -> None:
        report(source.name, number, len(held))

    table = retrieval.scores(session, pictures, texts, source.question, done)
    one = retrieval.recall(table, _KS)
    low, high = wilson(round(one.words[1] * len(table)), len(table))
    return Matched(source.name, len(table), one.words, one.pictures, one.chance, low, high)


def chosen(names: Sequence[str]) -> tuple[Source, ...]:
    """The sets of these names; all for none."""
    return tuple(one for one in SOURCES if not names or one.name in names)

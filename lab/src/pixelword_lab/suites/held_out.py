"""The suite "held-out": the drawn families on assets that training never saw."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count, islice

from pixelword.evaluation.types import Item, Suite, Test
from pixelword.synthetic.assets import Assets
from pixelword_lab import family

#: The categories of drawn families, in the order of tables.
CATEGORIES = (
    "image", "text in pictures", "hallucination", "grounding", "multi-image", "video", "spatial", "language",
)  # fmt: skip


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
        index = min(range(len(task.questions)), key=lambda item: (asked[task.questions[item].kind], item))
        question = task.questions[index]
        asked[question.kind] += 1
        found.append(Item(f"{name}/{place}/{index}", name, kinds[question.kind], task.media, question))
    return found


SUITE = Suite("held-out", held_out, categories=CATEGORIES, perplexity="text")

"""A tiny test of drawn pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from pixelword.evaluation.types import Item, Test
from pixelword.processing.videos import Video
from pixelword.synthetic.types import Question

GREYS = ("black", "dark", "grey", "light", "white")


def picture(number: int, size: int = 64) -> Image.Image:
    noise = np.random.default_rng(number).integers(0, 40, (size, size, 3))
    return Image.fromarray((noise + 50 * (number % len(GREYS))).astype(np.uint8))


def toy(number: int | None, seed: int) -> list[Item]:
    """Greys of pictures, a box, a clip and words alone, in turn."""
    found = []
    for place in range(number or 12):
        image = {"type": "image", "image": picture(place + 100 * seed, 64 + 32 * (place % 3))}
        clip = {"type": "video", "video": Video((picture(place), picture(place + 1)), (0.0, 0.5), 1.0)}
        grey = GREYS[place % len(GREYS)]
        kinds = (
            ("image", (image,), Question("grey", "Which grey is this?", grey, choices=GREYS)),
            ("grounding", (image,), Question("box", "Where is it?", f"<box>[[{place}, 0, 500, 500]]</box>", "box")),
            ("video", (clip,), Question("clip", "What happens?", f"{grey} it is", "words", absent=place % 2 == 0)),
            ("language", (), Question("words", f"How much is {place} and 1?", str(place + 1), "number")),
        )
        category, media, question = kinds[place % len(kinds)]
        also = ("Grey",) if question.answer == "grey" else ()
        found.append(Item(f"toy/{seed}-{place}", "toy", category, media, question, also))
    return found


@pytest.fixture
def toy_test() -> Test:
    return Test("toy", "Toys", "held-out", toy, 12)


@pytest.fixture
def items() -> Callable[[int], list[Item]]:
    return lambda number: toy(number, 0)

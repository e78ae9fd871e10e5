"""Tests of real images and clips: packaged data sets with a test split of their own, and questions of people.

The questions of `photos.json` and `clips.json` were written by looking at each image; the images are in the asset
packs of these names. What is measured here is apart from drawn data: nothing of it is like what a model was taught.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from random import Random
from typing import Any

from pixelword.errors import AssetError
from pixelword.evaluation.types import Item, Part, Suite, Test
from pixelword.processing.images import load_image
from pixelword.processing.videos import load_video
from pixelword.synthetic.assets import AssetPack, Assets
from pixelword.synthetic.types import Question
from pixelword_lab.families import easyvqa

CATEGORY = "real"
Make = Callable[[], Item]
#: Pixels of a photograph, at most: about 256 visual tokens.
_MAX_SIDE = 512
#: Frames a second of a clip, and at most.
_FPS, _FRAMES = 2.0, 12
_FRAME_PIXELS = 192 * 192


def tests(assets: Assets) -> list[Test]:
    """All of them, whether their packs are there or not."""
    return [
        Test("easy-vqa", "easy-VQA, its own test split", "real", partial(_few, easy_vqa, assets), 200, 50),
        Test("digits", "handwritten digits", "real", partial(_few, digits, assets), 200, 50),
        Test("photos", "photographs", "real", partial(_written, "photos", assets), 1000),
        Test("clips", "clips", "real", partial(_written, "clips", assets), 1000),
    ]


def _few(read: Callable[[Assets], Iterator[Make]], assets: Assets, number: int | None, seed: int) -> list[Item]:
    """`number` questions of a large test, drawn by the seed; all of them in order for None."""
    found = list(read(assets))
    if number is not None and number < len(found):
        found = Random(seed).sample(found, number)
    return [make() for make in found]


def easy_vqa(assets: Assets) -> Iterator[Make]:
    """Its test split: shapes on a ground, yes or no, which shape, which colour."""
    pack = assets.pack(easyvqa.PACK)
    for item in pack.of("test"):
        for number, question in enumerate(easyvqa.questions(item)):
            yield partial(_easy, pack, item, number, question)


def _easy(pack: AssetPack, item: dict[str, Any], number: int, question: Question) -> Item:
    return Item(f"easy-vqa/{item['key']}/{number}", "easy-vqa", CATEGORY, _picture(pack, item), question)


def digits(assets: Assets) -> Iterator[Make]:
    """Which digit somebody wrote."""
    pack = assets.pack("digits")
    for item in pack.items:
        yield partial(_digit, pack, item)


def _digit(pack: AssetPack, item: dict[str, Any]) -> Item:
    question = Question("digit", "Which digit is this?", str(item["label"]), choices=tuple("0123456789"))
    return Item(f"digits/{item['key']}", "digits", CATEGORY, _picture(pack, item), question)


def _written(name: str, assets: Assets, number: int | None, seed: int) -> list[Item]:
    """The questions of `name`.json: [{pack, key, questions: [{kind, question, answers, metric?, choices?, ...}]}]."""
    pages = json.loads(resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    found = []
    for page in pages:
        pack, key = assets.pack(page["pack"]), page["key"]
        item = next((entry for entry in pack.items if entry["key"] == key), None)
        if item is None:
            raise AssetError(f"{pack.path} has no {key!r}, which {name} asks about: pixelword tasks fetch {pack.name}")
        media = _clip(pack, item) if name == "clips" else _picture(pack, item)
        for place, asked in enumerate(page["questions"]):
            found.append(_item(name, f"{name}/{key}/{place}", media, asked))
    return found[:number]


def _item(test: str, key: str, media: tuple[Part, ...], asked: dict[str, Any]) -> Item:
    answer, *also = asked["answers"]
    question = Question(
        asked["kind"],
        asked["question"],
        answer,
        asked.get("metric", "exact"),
        tuple(asked.get("choices", ())),
        asked.get("absent", False),
        tolerance=asked.get("tolerance", 0.0),
    )
    return Item(key, test, CATEGORY, media, question, tuple(also))


def _picture(pack: AssetPack, item: dict[str, Any]) -> tuple[Part, ...]:
    picture = load_image(pack.read(item["file"]))
    if max(picture.size) > _MAX_SIDE:
        picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
    return ({"type": "image", "image": picture.convert("RGB")},)


def _clip(pack: AssetPack, item: dict[str, Any]) -> tuple[Part, ...]:
    video = load_video(pack.read(item["file"]), fps=_FPS, max_frames=_FRAMES, max_pixels=_FRAME_PIXELS)
    return ({"type": "video", "video": video},)


SUITE = Suite("real", tests)

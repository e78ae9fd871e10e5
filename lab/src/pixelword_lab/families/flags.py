"""Flags of countries, a part of captions and naming: whose flag it is, which of three, yes or no.

A country's flag is drawn by up to three packs. Each drawing belongs to one split, and the test shows only countries
whose flag some other drawing taught.
"""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random

from PIL import Image

from pixelword.synthetic.assets import AssetPack, Assets
from pixelword.synthetic.types import Question, Split
from pixelword.synthetic.wording import phrase
from pixelword_lab.drawing.backgrounds import worn
from pixelword_lab.drawing.compose import Scene, render
from pixelword_lab.drawing.naming import made_of, settle, whole
from pixelword_lab.drawing.objects import Cutout, Pool
from pixelword_lab.family import Task

#: Packs that draw flags; countries are named as in the first.
PACKS = ("flags", "emoji", "openmoji")
_NAME = (
    "Which country's flag is this?", "Whose flag is this?", "Which flag is this?", "What country has this flag?",
    "Name the country of this flag.",
)  # fmt: skip
_CHOICE = (
    "Is this the flag of {a}, {b} or {c}?", "Whose flag is it: {a}, {b} or {c}?",
    "Which country is it, {a}, {b} or {c}?",
)  # fmt: skip
_IS = ("Is this the flag of {one}?", "Does the picture show the flag of {one}?", "Is it {one}'s flag?")


def drawings(assets: Assets, split: Split) -> Pool:
    """The flags of a split by country, () where the pack `flags` is not there."""
    if not assets.has(PACKS[0]):
        return Pool()
    return _of_packs(tuple(assets.pack(name) for name in PACKS if assets.has(name)))[split]


@lru_cache(maxsize=8)
def _of_packs(packs: tuple[AssetPack, ...]) -> dict[Split, Pool]:
    countries = {item["label"] for item in packs[0].items}

    def of(split: Split) -> list[Cutout]:
        return [
            Cutout(f"{pack.name}:{item['key']}", country, "flag", pack, item["file"])
            for pack in packs
            for item in pack.of(split)
            if pack is packs[0] or item.get("group") == "flags"
            if (country := _country(item["label"])) in countries
        ]

    train = Pool(of("train"))
    return {"train": train, "test": Pool(entry for entry in of("test") if entry.name in train.by_name)}


def _country(label: str) -> str:
    """'flag of St. Kitts & Nevis' -> 'Saint Kitts and Nevis'."""
    name = label.removeprefix("flag of ").replace("&", "and")
    return _SAME.get(name, re.sub(r"^St\. ", "Saint ", name))


_SAME = {
    "Côte d'Ivoire": "Ivory Coast", "Congo - Brazzaville": "Republic of the Congo", "Congo - Kinshasa": "DR Congo",
    "Hong Kong SAR China": "Hong Kong", "Macao SAR China": "Macau", "Myanmar (Burma)": "Myanmar",
    "Palestinian Territories": "Palestine", "U.S. Virgin Islands": "United States Virgin Islands",
}  # fmt: skip


def shown(rng: Random, split: Split, assets: Assets) -> tuple[Image.Image, str]:
    """An image of a flag, and its country. There must be `drawings`."""
    scene = _scene(rng, split, assets)
    return worn(rng, render(scene)), scene.placed[0].cutout.name


def _scene(rng: Random, split: Split, assets: Assets) -> Scene:
    pool = drawings(assets, split)
    return settle(rng, [rng.choice(pool.by_name[rng.choice(pool.names)])], tokens=(12, 130), fill=(0.25, 0.7))


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """One flag on a ground; asked for at most once by name, after a "no" or two. There must be `drawings`."""
    scene, taught = _scene(rng, split, assets), drawings(assets, "train").names
    flag = scene.placed[0].cutout
    box = (whole(scene.placed[0]),)
    others = rng.sample([name for name in taught if name != flag.name], 3)
    questions = [
        Question("is", phrase(rng, _IS, one=other), "no", "exact", ("yes", "no"), True)
        for other in others[: rng.choice((0, 0, 1))]
    ]
    way = rng.random()
    if way < 0.25:
        questions.append(Question("is", phrase(rng, _IS, one=flag.name), "yes", "exact", ("yes", "no"), boxes=box))
    elif way < 0.5:
        a, b, c = options = rng.sample([flag.name, *others[1:]], 3)
        words = phrase(rng, _CHOICE, a=a, b=b, c=c)
        questions.append(Question("choice", words, flag.name, "exact", tuple(options), boxes=box))
    else:
        questions.append(Question("name", phrase(rng, _NAME), flag.name, boxes=box))
    return Task(({"type": "image", "image": worn(rng, render(scene))},), tuple(questions), made_of(scene))

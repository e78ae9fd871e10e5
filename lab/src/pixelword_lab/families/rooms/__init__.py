"""Furnished rooms in three dimensions: what is nearer, taller, how far, how many; and walks through them.

Drawing a room takes a good part of a second, so rooms are drawn beforehand into the pool `room-pool`, split by the
models of furniture. Questions are asked afresh at every draw, and images are seen in a mirror half of the time.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from random import Random
from typing import Any

from PIL import Image

from pixelword.processing.videos import load_video
from pixelword.synthetic.assets import AssetPack, Assets
from pixelword.synthetic.types import Box, Split
from pixelword_lab.candidates import choose
from pixelword_lab.drawing.replay import item_of, vary
from pixelword_lab.families.rooms.ask import KINDS, about_picture, about_walk, things_of
from pixelword_lab.families.rooms.shoot import render_item
from pixelword_lab.family import Family, Task

POOL = "room-pool"


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """A room or a walk of the pool, or a new one where there is no pool, and three to five questions about it."""
    content, facts = item_of(POOL, render_item, rng, split, assets)
    names = _labels(assets.pack(POOL if assets.has(POOL) else "furniture"), split)
    used = tuple(facts["assets"])
    if "way" in facts:
        video = load_video(content, fps=facts["rate"])
        asked = choose(rng, about_walk(rng, things_of(facts), facts["way"], names), rng.randint(2, 4))
        return Task(({"type": "video", "video": video},), asked, used)
    with Image.open(BytesIO(content)) as opened:
        picture = opened.convert("RGB")
    if rng.random() < 0.5:
        picture, facts = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), _mirrored(facts)
    boxes: dict[str, Box] = {str(number): tuple(item["boxes"][0]) for number, item in enumerate(facts["things"])}
    picture, boxes = vary(rng, picture, boxes)
    moved = [{**item, "boxes": [boxes[str(number)]]} for number, item in enumerate(facts["things"])]
    things = things_of({"things": moved})
    asked = choose(rng, about_picture(rng, things, picture.size, names), rng.randint(3, 5))
    return Task(({"type": "image", "image": picture},), asked, used)


def _mirrored(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of the image in a mirror."""
    width, things = facts["width"], []
    for thing in facts["things"]:
        x1, y1, x2, y2 = thing["boxes"][0]
        things.append({**thing, "x": -thing["x"], "boxes": [(width - x2, y1, width - x1, y2)]})
    return {**facts, "things": things}


@lru_cache(maxsize=8)
def _labels(pack: AssetPack, split: Split) -> tuple[str, ...]:
    """What the split's furniture is called, without coloured shapes."""
    found: dict[str, None] = {}
    for item in pack.of(split):
        # an item of a pool has several things, one of the furniture is one
        for entry in item.get("things", [{"label": item.get("label"), "asset": "furniture:"}]):
            if entry["asset"].startswith("furniture:"):
                found[entry["label"]] = None
    return tuple(found)


FAMILY = Family(
    name="rooms",
    title="Rooms and walks: nearer, taller, how far, which way",
    kinds=KINDS,
    draw=draw,
    needs=("furniture",),
    pool=POOL,
    render=render_item,
)

"""Screens: dialogs, forms, lists, tables, articles, receipts, menus; read them, find things on them, point at them.

Chromium draws them beforehand into the pool `screen-pool`, with every element's name, state and box from the DOM.
Training and test share no words, fonts, tables or labels (but "OK" and its like). Questions are asked afresh.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from PIL import Image

from pixelword.errors import AssetError
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Box, Split
from pixelword_lab.candidates import choose
from pixelword_lab.drawing.pages import browser
from pixelword_lab.drawing.replay import encode, item_of, vary
from pixelword_lab.families.screens.ask import Screen, candidates
from pixelword_lab.families.screens.content import draw_page
from pixelword_lab.families.screens.theme import draw_theme
from pixelword_lab.family import Family, Task

if TYPE_CHECKING:
    from jinja2 import Environment

POOL = "screen-pool"
_FILE = "screen.webp"
_WIDTHS = (208, 448)
_TRIES = 40


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """A screen of the pool, or a new one where there is no pool, and three to five questions about it."""
    content, facts = item_of(POOL, render_item, rng, split, assets)
    boxes: dict[str, Box] = {str(place): tuple(item["box"]) for place, item in enumerate(facts["elements"])}
    with Image.open(BytesIO(content)) as opened:
        picture, boxes = vary(rng, opened.convert("RGB"), boxes, smallest=0.92)
    elements = [{**item, "box": boxes[str(place)]} for place, item in enumerate(facts["elements"])]
    screen = Screen(rng, facts["kind"], elements, facts["known"], facts["others"], picture.size)
    asked = choose(rng, candidates(screen), rng.randint(3, 5))
    return Task(({"type": "image", "image": picture},), asked, tuple(facts["assets"]))


def render_item(rng: Random, split: Split, assets: Assets) -> tuple[dict[str, bytes], dict[str, Any]]:
    """One screen for the pool: its image, and the facts that `draw` asks about.

    Raises:
        AssetError: playwright or Chromium is missing, or no page fits a screen.
    """
    for _ in range(_TRIES):
        page = draw_page(rng, split, assets)
        theme, fonts = draw_theme(rng, split, assets)
        html = _templates().get_template(f"{page.template}.html").render(**page.words, theme=theme)
        shot = browser().shoot(html, rng.randrange(*_WIDTHS, 8))
        if shot is None or any(item.cut for item in shot[1]):
            continue
        picture, elements = shot
        seen = [{name: getattr(element, name) for name in _KEPT} for element in elements]
        others = {role: rng.sample(names, min(4, len(names))) for role, names in sorted(page.others.items())}
        facts = {
            "file": _FILE, "kind": page.template, "elements": seen, "known": page.known, "others": others,
            "assets": [*page.assets, *fonts],
        }  # fmt: skip
        return {_FILE: encode(picture)}, facts
    raise AssetError(
        f"none of {_TRIES} pages fits a screen of {_WIDTHS[0]} to {_WIDTHS[1]} pixels: are fonts installed?"
    )


_KEPT = ("role", "name", "text", "ask", "checked", "disabled", "selected", "box")


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    return Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True)


FAMILY = Family(
    name="screens",
    title="Screens and documents",
    kinds={
        "screen": "image", "read": "text in pictures", "document": "text in pictures", "number of": "image",
        "state": "text in pictures", "exists": "hallucination", "point": "grounding", "label": "grounding",
    },
    draw=draw,
    needs=("words", "tables", "fonts"),
    pool=POOL,
    render=render_item,
)  # fmt: skip

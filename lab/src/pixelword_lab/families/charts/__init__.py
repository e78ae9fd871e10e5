"""Charts of real tables: what they show, what is largest, how much, which way it goes.

Drawing a chart takes tens of milliseconds, so they are drawn beforehand into the pool `chart-pool`: images and what
they show, split by table and font. Questions are asked afresh at every draw.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from random import Random
from typing import Any

from PIL import Image

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack, Assets
from pixelword.synthetic.types import Box, Split
from pixelword_lab.candidates import choose
from pixelword_lab.drawing.plots import FontFiles, draw_style, render
from pixelword_lab.drawing.replay import encode, item_of, vary
from pixelword_lab.drawing.tabular import KINDS, Chart, Columns, draw_chart, possible
from pixelword_lab.families.charts.ask import candidates
from pixelword_lab.family import Family, Task

POOL = "chart-pool"
_FILE = "chart.webp"
#: How often each kind is drawn.
_SHARES = {"bar": 4, "barh": 2, "line": 4, "scatter": 2, "pie": 2, "histogram": 1, "table": 3}
#: matplotlib brings these, so that a style always has a font.
_OWN_FONTS = ("DejaVu Sans", "DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono")
_OWN_SHARE = 0.3
_TRIES = 400
_files = FontFiles()


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """A chart of the pool, or a new one where there is no pool, and three to five questions about it."""
    content, facts = item_of(POOL, render_item, rng, split, assets)
    chart = Chart.from_facts(facts["chart"])
    boxes: dict[str, Box] = {name: tuple(box) for name, box in facts["boxes"].items()}
    with Image.open(BytesIO(content)) as opened:
        picture, boxes = vary(rng, opened.convert("RGB"), boxes)
    asked = choose(rng, candidates(rng, chart, boxes, picture.size), rng.randint(3, 5))
    return Task(({"type": "image", "image": picture},), asked, tuple(facts["assets"]))


def render_item(rng: Random, split: Split, assets: Assets) -> tuple[dict[str, bytes], dict[str, Any]]:
    """One chart for the pool: its image, and the facts that `draw` asks about.

    Raises:
        AssetError: the pack `tables` or matplotlib is missing, or no table of the split makes a chart.
    """
    tables = _tables(assets.pack("tables"), split)
    fonts, keys = _fonts(rng, split, assets)
    kinds = [kind for kind in _SHARES if tables[kind]]
    # chosen once: kinds that often fail would be rare
    kind = rng.choices(kinds, [_SHARES[kind] for kind in kinds])[0] if kinds else ""
    for _ in range(_TRIES if kinds else 0):
        key, columns = rng.choice(tables[kind])
        chart = draw_chart(rng, kind, columns)
        drawn = chart and render(chart, draw_style(rng, chart, fonts))
        if chart and drawn:
            picture, boxes = drawn
            facts = {"file": _FILE, "chart": chart.facts(), "boxes": boxes, "assets": [f"tables:{key}", *keys]}
            return {_FILE: encode(picture)}, facts
    raise AssetError(
        f"{assets.folder / 'tables.zip'}: no table for {split} makes a chart: pixelword tasks fetch tables"
    )


@lru_cache(maxsize=4)
def _tables(pack: AssetPack, split: Split) -> dict[str, list[tuple[str, Columns]]]:
    """Kind of chart -> the tables that allow it."""
    found: dict[str, list[tuple[str, Columns]]] = {kind: [] for kind in KINDS}
    for item in pack.of(split):
        columns = Columns(item)
        for kind in possible(columns):
            found[kind].append((item["key"], columns))
    return found


def _fonts(rng: Random, split: Split, assets: Assets) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what styles may choose, the assets used): one font of the pack, or matplotlib's own."""
    if not assets.has("fonts") or rng.random() < _OWN_SHARE:
        return _OWN_FONTS, ()
    pack = assets.pack("fonts")
    # fonts without small letters would not show what titles say
    item = rng.choice([entry for entry in pack.of(split) if not entry.get("caps")])
    return (_files.path(pack, item["file"]),), (f"fonts:{item['key']}",)


FAMILY = Family(
    name="charts",
    title="Charts and tables of real data",
    kinds={
        "type": "image", "colour": "image", "title": "text in pictures", "axis": "text in pictures",
        "extreme": "text in pictures", "value": "text in pictures", "compare": "text in pictures",
        "trend": "text in pictures", "number of": "text in pictures", "cell": "text in pictures",
        "exists": "hallucination", "find": "grounding",
    },
    draw=draw,
    needs=("tables", "fonts"),
    pool=POOL,
    render=render_item,
)  # fmt: skip

"""Images of text: a line, several lines, a sign on a wall, words all over; each with what it says and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from PIL import Image, ImageDraw

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Box, Split
from pixelword.synthetic.typeset import (
    Strip,
    View,
    Word,
    draw_face,
    moved,
    set_line,
    tilt,
)
from pixelword_lab.drawing.backgrounds import RGB, Ground, ground_for, paint, weathered
from pixelword_lab.drawing.compose import overlap
from pixelword_lab.drawing.objects import COLOURS
from pixelword_lab.drawing.stacking import SMALLEST, Stack, stack
from pixelword_lab.drawing.texts import Found, draw_headword, draw_name, draw_number, draw_run

_WIDEST, _LEAST = 620, 96
#: Least difference in brightness between type and what it stands on, of 255.
_CONTRAST = 95


@dataclass(frozen=True)
class Row:
    """A line of a page. what: "word", "number" or "line"; colour: its name, where the rows differ by it."""

    words: tuple[Word, ...]
    what: str
    colour: str | None = None

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def box(self) -> Box:
        boxes = [word.box for word in self.words]
        return (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))


@dataclass(frozen=True)
class Page:
    """An image of text. ordered: whether its rows stand below one another, so that there is a first and a last."""

    picture: Image.Image
    rows: tuple[Row, ...]
    ordered: bool
    assets: tuple[str, ...]


@dataclass(frozen=True)
class _Content:
    """What a row will say; what: as in `Row`."""

    found: Found
    what: str


@dataclass(frozen=True)
class _Panel:
    """Rows written on something: an RGBA layer, its rows with boxes in it, the size of the type."""

    layer: Image.Image
    rows: tuple[Row, ...]
    size: int
    assets: tuple[str, ...]

    def seen(self, view: View) -> _Panel:
        """The panel as it looks from somewhere."""
        return replace(self, layer=view.of(self.layer), rows=_mapped(self.rows, view.box))

    def at(self, x: int, y: int) -> tuple[Row, ...]:
        """Its rows when its top left corner is at (x, y)."""
        return _mapped(self.rows, lambda box: moved(box, x, y))


def draw_page(rng: Random, split: Split, assets: Assets) -> Page:
    """A page of one of four kinds."""
    return rng.choices((_plain, _block, _sign, _scattered), (42, 26, 18, 14))[0](rng, split, assets)


def _plain(rng: Random, split: Split, assets: Assets) -> Page:
    """One line on a ground, straight or nearly so."""
    size = _type(rng, 72)
    content = _content(rng, split, assets, rng.choice((1, 1, 1, 2, 3, 4, 5, 6, 8)))
    ink, ground = _ink(rng)
    panel = _write(rng, split, assets, [content], size, [ink], None)
    if rng.random() < 0.35:
        panel = panel.seen(tilt(rng, panel.layer.size, rng.uniform(0.02, 0.12)))
    return _page(rng, [panel], ground, ordered=True, margin=24)


def _block(rng: Random, split: Split, assets: Assets) -> Page:
    """Two to six lines below one another, now and then each of its own colour."""
    number = rng.choice((2, 3, 3, 4, 4, 5, 6))
    longest = rng.choice((1, 2, 3, 5, 6))
    contents = _unlike(rng, split, assets, number, longest)
    size = _type(rng, 34)
    ink, ground = _ink(rng)
    if rng.random() < 0.3:
        dark = rng.random() < 0.3
        shade = rng.randint(0, 25) if dark else rng.randint(240, 255)
        rgb = (shade, shade, shade)
        names = rng.sample([name for name in COLOURS if _apart(COLOURS[name], rgb)], min(number, 4))
        if number <= len(names):
            ground = Ground("plain", rgb, rgb)
            panel = _write(rng, split, assets, contents, size, [COLOURS[name] for name in names], None, names)
            return _page(rng, [panel], ground, ordered=True, margin=16)
    panel = _write(rng, split, assets, contents, size, [ink] * number, None)
    return _page(rng, [panel], ground, ordered=True, margin=16)


def _sign(rng: Random, split: Split, assets: Assets) -> Page:
    """A board with one to three lines on a wall, seen from the side."""
    contents = _unlike(rng, split, assets, rng.choice((1, 1, 2, 2, 3)), rng.choice((1, 2, 3)))
    board = _board(rng)
    panel = _write(rng, split, assets, contents, _type(rng, 44), [_ink_on(rng, board)] * len(contents), board)
    panel = panel.seen(tilt(rng, panel.layer.size, rng.uniform(0.04, 0.22)))
    return _page(rng, [panel], ground_for(rng, [board], named=0.6), ordered=True, margin=40)


def _scattered(rng: Random, split: Split, assets: Assets) -> Page:
    """Two to five labels, each in its own type, all over the image."""
    contents = _unlike(rng, split, assets, rng.choice((2, 3, 3, 4, 5)), rng.choice((1, 1, 2)))
    panels, boards = [], []
    for content in contents:
        board = _board(rng)
        boards.append(board)
        panel = _write(rng, split, assets, [content], _type(rng, 34), [_ink_on(rng, board)], board)
        panels.append(panel.seen(tilt(rng, panel.layer.size, rng.uniform(0.02, 0.2))) if rng.random() < 0.5 else panel)
    return _page(rng, panels, ground_for(rng, boards, named=0.4), ordered=False, margin=12)


def _type(rng: Random, largest: int) -> int:
    """A size of type: small ones as often as large ones."""
    return round(SMALLEST * (largest / SMALLEST) ** rng.random())


def _content(rng: Random, split: Split, assets: Assets, longest: int) -> _Content:
    if rng.random() < 0.28:
        return _Content(Found(draw_number(rng)), "number")
    if longest == 1:
        return _Content(draw_name(rng, assets, split, 1), "word")
    number = rng.randint(2, longest)
    found = draw_run(rng, assets, split, number) if rng.random() < 0.7 else draw_name(rng, assets, split, number)
    return _Content(found, "line")


def _unlike(rng: Random, split: Split, assets: Assets, number: int, longest: int) -> list[_Content]:
    """`number` rows of which no two say the same."""
    contents: dict[str, _Content] = {}
    while len(contents) < number:
        item = _content(rng, split, assets, longest)
        contents.setdefault(item.found.text.lower(), item)
    return list(contents.values())


def _write(
    rng: Random,
    split: Split,
    assets: Assets,
    contents: Sequence[_Content],
    size: int,
    inks: Sequence[RGB],
    board: RGB | None,
    names: Sequence[str | None] = (),
) -> _Panel:
    """The rows in one font, on a board of that colour or on nothing; set smaller, or cut, where they are too wide."""
    face = draw_face(rng, assets, split)
    while True:
        strips = [_fitted(face.cased(content.found.text), face.font, size) for content in contents]
        if all(strips) or size <= SMALLEST:
            break
        size = max(SMALLEST, round(size * 0.8))
    rows = [
        strip or set_line(_cut(item, face.cased), face.font(size)) for strip, item in zip(strips, contents, strict=True)
    ]
    align = rng.choice(("left", "left", "center", "right") if board is None else ("center", "center", "left"))
    flat = stack(rows, gap=round(size * rng.uniform(-0.05, 0.5)), align=align)
    edge = rng.randint(round(size * 0.3), round(size * 0.9)) if board else 3
    layer = _painted(rng, flat, inks, board, edge)
    colours = names or [None] * len(rows)
    found = tuple(
        Row(tuple(replace(word, box=moved(word.box, edge, edge)) for word in strip.placed_words()), item.what, colour)
        for strip, item, colour in zip(flat.strips, contents, colours, strict=True)
    )
    return _Panel(
        layer, found, size, (face.asset, *(content.found.asset for content in contents if content.found.asset))
    )


def _fitted(text: str, font: Callable[[int], object], size: int) -> Strip | None:
    """The line, if it is no wider than an image may be."""
    strip = set_line(text, font(size))  # type: ignore[arg-type]
    return strip if strip.mask.width <= _WIDEST else None


def _cut(content: _Content, cased: Callable[[str], str]) -> str:
    """The first words of a line that is too long even in small type: never more than 40 letters."""
    words = content.found.text.split()
    while len(words) > 1 and len(" ".join(words)) > 40:
        words.pop()
    return cased(" ".join(words))


def _painted(rng: Random, flat: Stack, inks: Sequence[RGB], board: RGB | None, edge: int) -> Image.Image:
    size = (flat.size[0] + 2 * edge, flat.size[1] + 2 * edge)
    layer = Image.new("RGBA", size, (*inks[0], 0))
    if board is not None:
        pen = ImageDraw.Draw(layer)
        rim = rng.randint(1, 3) if rng.random() < 0.5 else 0
        radius = rng.choice((0, 0, edge // 2, edge))
        pen.rounded_rectangle(
            (0, 0, size[0] - 1, size[1] - 1), radius, fill=(*board, 255), outline=(*inks[0], 255), width=rim
        )
    for strip, ink in zip(flat.strips, inks, strict=True):
        place = (strip.at[0] + edge, strip.at[1] + edge)
        if board is not None:
            layer.paste((*ink, 255), place, strip.mask)
        else:
            coloured = Image.new("RGBA", strip.mask.size, (*ink, 0))
            coloured.putalpha(strip.mask)
            layer.alpha_composite(coloured, place)
    return layer


def _page(rng: Random, panels: Sequence[_Panel], ground: Ground, *, ordered: bool, margin: int) -> Page:
    """The panels on the ground where none covers another, in an image with room for them."""
    widest, highest = max(p.layer.width for p in panels), max(p.layer.height for p in panels)
    area = sum((p.layer.width + margin) * (p.layer.height + margin) for p in panels)
    if len(panels) == 1:
        width, height = widest + rng.randint(4, 2 * margin), highest + rng.randint(4, 2 * margin)
    else:
        width = max(widest + margin, round((2.0 * area) ** 0.5 * rng.uniform(0.8, 1.3)))
        height = max(highest + margin, round(2.0 * area / width))
    width, height = max(_LEAST, width), max(_LEAST, height)
    while (places := _places(rng, panels, (width, height))) is None:
        width, height = round(width * 1.1), round(height * 1.1)
    picture = paint(ground, width, height)
    rows: list[Row] = []
    for panel, place in zip(panels, places, strict=True):
        picture.paste(panel.layer, place, panel.layer)
        rows += panel.at(*place)
    picture = weathered(rng, picture, min(panel.size for panel in panels))
    return Page(
        picture, tuple(rows), ordered, tuple(dict.fromkeys(asset for panel in panels for asset in panel.assets))
    )


def _places(rng: Random, panels: Sequence[_Panel], size: tuple[int, int]) -> list[tuple[int, int]] | None:
    taken: list[tuple[int, int, int, int]] = []
    for panel in panels:
        for _ in range(12):
            x = rng.randint(0, max(0, size[0] - panel.layer.width))
            y = rng.randint(0, max(0, size[1] - panel.layer.height))
            box = (x, y, x + panel.layer.width, y + panel.layer.height)
            if not any(overlap(box, other) for other in taken):
                taken.append(box)
                break
        else:
            return None
    return [box[:2] for box in taken]


def _brightness(rgb: RGB) -> float:
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def _apart(r_g_b: RGB, other: RGB) -> bool:
    return abs(_brightness(r_g_b) - _brightness(other)) >= _CONTRAST


def _ink(rng: Random) -> tuple[RGB, Ground]:
    """A colour of type and a ground on which it can be read."""
    while True:
        ground = ground_for(rng, named=0)
        ink = _ink_on(rng, ground.rgb)
        if _apart(ink, ground.other):
            return ink, ground


def _ink_on(rng: Random, board: RGB) -> RGB:
    """Black or white as often as any other colour that can be read on the board."""
    for _ in range(20):
        shade = rng.choice((rng.randint(0, 40), rng.randint(225, 255)))
        ink = (shade, shade, shade) if rng.random() < 0.5 else _any(rng)
        if _apart(ink, board):
            return ink
    return (0, 0, 0) if _brightness(board) > 127 else (255, 255, 255)


def _board(rng: Random) -> RGB:
    shade = rng.choice((rng.randint(0, 50), rng.randint(215, 255)))
    return (shade, shade, shade) if rng.random() < 0.4 else _any(rng)


def _any(rng: Random) -> RGB:
    return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)


def _mapped(rows: Sequence[Row], way: Callable[[Box], Box]) -> tuple[Row, ...]:
    return tuple(replace(row, words=tuple(replace(word, box=way(word.box)) for word in row.words)) for row in rows)


def near_word(rng: Random, split: Split, assets: Assets, word: str) -> str:
    """A word that is not this one: one letter off, or any other of the dictionary."""
    letters = [place for place, letter in enumerate(word) if letter.isalpha()]
    if len(letters) < 4 or rng.random() < 0.5:
        return draw_headword(rng, assets, split).text
    place = rng.choice(letters)
    other = rng.choice("abcdefghijklmnoprstuvwy")
    changed = other.upper() if word[place].isupper() else other
    return rng.choice((word[:place] + changed + word[place + 1 :], word[:place] + word[place + 1 :]))

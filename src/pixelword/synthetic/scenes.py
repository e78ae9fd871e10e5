"""Scenes: a few coloured shapes on a 3x3 grid, and which of them are kept for the test.

Held out: every (colour, shape) pair has one cell of the grid in which training never shows it (``HELD_OUT``); a
test scene shows its first thing, the one asked about, in exactly that cell. So a test image is never a training
image, and neither is the combination it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

Split = Literal["train", "test"]
RGB = tuple[int, int, int]
Pair = tuple[str, str]  # (colour, shape)

COLOURS: dict[str, RGB] = {
    "red": (215, 35, 40),
    "green": (35, 160, 60),
    "blue": (35, 75, 220),
    "yellow": (250, 225, 45),
    "orange": (245, 130, 15),
    "purple": (140, 45, 170),
    "black": (12, 12, 14),
    "white": (250, 250, 250),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond")
CELLS = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
BACKGROUNDS: tuple[RGB, ...] = (
    (128, 128, 128),  # first: contrasts with every colour
    (205, 205, 205),
    (238, 238, 234),
    (50, 50, 55),
    (22, 28, 60),
    (200, 180, 150),
    (165, 200, 215),
    (185, 170, 200),
    (90, 105, 110),
)
CONTRAST = 80.0  # least distance in RGB between a thing and its background, before jitter
SMALLEST = 14  # pixels; below it a heart and a triangle look alike

PAIRS: tuple[Pair, ...] = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
# 2 and 4 have no factor in common with 9, so the held-out cells spread evenly over colours, shapes and cells
HELD_OUT: dict[Pair, int] = {
    (colour, shape): (2 * i + 4 * j) % 9 for i, colour in enumerate(COLOURS) for j, shape in enumerate(SHAPES)
}
_SIZES = (((64, 64),), ((96, 96), (96, 64), (64, 96)), ((128, 96), (96, 128), (128, 128)))


@dataclass(frozen=True)
class Thing:
    """One coloured shape; x, y: its upper left corner in pixels; size: its side."""

    colour: str
    shape: str
    cell: int
    x: int
    y: int
    size: int
    rgb: RGB


@dataclass(frozen=True)
class Background:
    """``start`` fades into ``end``, downwards or to the right; noise: place in the noise sheet, None without."""

    start: RGB
    end: RGB
    downwards: bool = True
    noise: tuple[int, int] | None = None


@dataclass(frozen=True)
class Scene:
    """Everything an image shows. focus: the thing to ask about (test), None for any; large: one thing fills it."""

    width: int
    height: int
    background: Background
    things: tuple[Thing, ...]
    focus: int | None = None
    large: bool = False


def canvas(rng: Random, level: float) -> tuple[int, int]:
    """(width, height): 64x64 at level 0, up to 128x128 at level 1; sides are multiples of 32."""
    groups = _SIZES[: 1 + min(2, int(level * 3))]
    return rng.choice(rng.choice(groups))


def most_things(level: float) -> int:
    """How many things a scene of this level may have."""
    return 1 + round(4 * level)


def jitter(rng: Random, rgb: RGB, amount: int) -> RGB:
    """The colour, each channel moved by at most ``amount``."""
    red, green, blue = (min(255, max(0, channel + rng.randint(-amount, amount))) for channel in rgb)
    return red, green, blue


def background_for(rng: Random, colours: Sequence[str], level: float, contrast: float = CONTRAST) -> Background:
    """A background that contrasts with all the colours: plain at level 0, a gradient with noise towards level 1."""
    fitting = [ground for ground in BACKGROUNDS if all(_distance(ground, COLOURS[c]) >= contrast for c in colours)]
    start = jitter(rng, rng.choice(fitting or BACKGROUNDS[:1]), 4)
    end = jitter(rng, start, 20) if rng.random() < level * 0.6 else start
    noise = (rng.randrange(128), rng.randrange(128)) if rng.random() < level * 0.6 else None
    return Background(start, end, rng.random() < 0.5, noise)


def draw_scene(
    rng: Random,
    *,
    level: float,
    split: Split,
    allowed: Sequence[Sequence[Pair]],
    large: bool = False,
    size: tuple[int, int] | None = None,
) -> Scene:
    """One thing for each entry of ``allowed`` (the pairs it may be), each in a cell of its own.

    large: one thing alone in the middle, filling much of the image.
    size: (width, height), else by level.
    """
    width, height = size or canvas(rng, level)
    placed = place(rng, allowed, split, cells=(4,) if large else range(9))
    things = []
    for (colour, shape), cell in placed:
        if large:
            side = round(min(width, height) * rng.uniform(0.45, 0.85))
            x, y = _near_middle(rng, width, side), _near_middle(rng, height, side)
        else:
            x, y, side = _inside(rng, cell, width, height, level)
        things.append(Thing(colour, shape, cell, x, y, side, jitter(rng, COLOURS[colour], 4 + round(10 * level))))
    background = background_for(rng, [thing.colour for thing in things], level)
    return Scene(width, height, background, tuple(things), 0 if split == "test" else None, large)


def place(
    rng: Random, allowed: Sequence[Sequence[Pair]], split: Split, cells: Sequence[int] = range(9)
) -> list[tuple[Pair, int]]:
    """A (pair, cell) for each entry; training avoids held-out combinations, a test's first thing is one."""
    free = rng.sample(list(cells), len(cells))
    placed = []
    for number, pairs in enumerate(allowed):
        for cell in free:
            fitting = [pair for pair in pairs if _fits(pair, cell, split, number)]
            if fitting:
                placed.append((rng.choice(fitting), cell))
                free.remove(cell)
                break
        else:
            raise RuntimeError(f"no cell left for thing {number} out of {len(allowed)}: ask for fewer")
    return placed


def _fits(pair: Pair, cell: int, split: Split, number: int) -> bool:
    if split == "train":
        return HELD_OUT[pair] != cell
    return number > 0 or HELD_OUT[pair] == cell


def _inside(rng: Random, cell: int, width: int, height: int, level: float) -> tuple[int, int, int]:
    """(x, y, side) of a thing wholly inside the cell."""
    left, top, right, bottom = cell_bounds(cell, width, height)
    room = min(right - left, bottom - top)
    smallest = max(SMALLEST, round(room * (0.8 - 0.3 * level)))
    side = rng.randint(smallest, max(smallest, round(room * 0.96)))
    return rng.randint(left, right - side), rng.randint(top, bottom - side), side


def cell_bounds(cell: int, width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a cell in pixels."""
    row, column = divmod(cell, 3)
    left, right = -(-column * width // 3), (column + 1) * width // 3
    top, bottom = -(-row * height // 3), (row + 1) * height // 3
    return left, top, right, bottom


def moved(rng: Random, thing: Thing, cell: int, width: int, height: int) -> Thing:
    """The thing, as large as it is, somewhere in another cell of a scene of this size."""
    left, top, right, bottom = cell_bounds(cell, width, height)
    size = min(thing.size, right - left, bottom - top)
    x, y = rng.randint(left, right - size), rng.randint(top, bottom - size)
    return replace(thing, cell=cell, x=x, y=y, size=size)


def draw_distinct(
    rng: Random, number: int, *, level: float, split: Split, size: tuple[int, int] | None = None
) -> Scene:
    """A scene of ``number`` things, no two of which have both the same colour and the same shape."""
    while True:
        scene = draw_scene(rng, level=level, split=split, allowed=[PAIRS] * number, size=size)
        if len({(thing.colour, thing.shape) for thing in scene.things}) == number:
            return scene


def _near_middle(rng: Random, length: int, side: int) -> int:
    slack = (length - side) // 4
    return (length - side) // 2 + rng.randint(-slack, slack)


def _distance(a: RGB, b: RGB) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5

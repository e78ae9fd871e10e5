"""Scenes of cut-outs: where each thing is and what ground it is on, then the image, with boxes taken from the alpha.

    pool = cutouts(assets, split)                              # `objects.py`: what can be shown
    scene = arrange(rng, rng.sample(pool, 3), canvas(rng))     # where; `None` where they do not fit
    picture = render(scene)                                    # RGB
    scene.placed[0].box                                        # pixels, exactly what is seen of the first one

A scene is data: `dataclasses.replace` it to move, swap or leave out a thing, and `render` it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from PIL import Image

from pixelword_lab.drawing.backgrounds import Ground, ground_for, paint
from pixelword_lab.drawing.objects import Cutout, picture, rim, trimmed

IntBox = tuple[int, int, int, int]
#: Pixels that one visual token covers: a pair of patches each way.
TOKEN = 32 * 32
#: Names of the nine parts of an image, in reading order.
CELLS = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
_GAP = 5  # least pixels between two things
_SMALLEST = 26  # pixels of the longer side; below it many things look alike


@dataclass(frozen=True)
class Placed:
    """A cut-out in an image. box: (x1, y1, x2, y2) in pixels; mirrored: left and right; turned: degrees, leftwards."""

    cutout: Cutout
    box: IntBox
    mirrored: bool = False
    turned: int = 0

    @property
    def centre(self) -> tuple[float, float]:
        x1, y1, x2, y2 = self.box
        return (x1 + x2) / 2, (y1 + y2) / 2

    @property
    def area(self) -> int:
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1)

    def at(self, x: int, y: int) -> Placed:
        """The same thing with its top left corner somewhere else."""
        return replace(self, box=(x, y, x + self.box[2] - self.box[0], y + self.box[3] - self.box[1]))


@dataclass(frozen=True)
class Scene:
    """Things on a ground; later ones cover earlier ones."""

    width: int
    height: int
    ground: Ground
    placed: tuple[Placed, ...]

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


def canvas(rng: Random, *, tokens: tuple[int, int] = (40, 220), longest: float = 2.0) -> tuple[int, int]:
    """(width, height) of an image of about that many visual tokens, up to `longest` times as long as wide."""
    area = math.exp(rng.uniform(math.log(tokens[0]), math.log(tokens[1]))) * TOKEN
    aspect = longest ** rng.triangular(-1, 1, 0)
    width, height = (area * aspect) ** 0.5, (area / aspect) ** 0.5
    return min(1024, max(96, round(width))), min(1024, max(96, round(height)))


def arrange(
    rng: Random,
    things: Sequence[Cutout],
    size: tuple[int, int],
    *,
    fill: tuple[float, float] = (0.18, 0.45),
    ground: Ground | None = None,
    turn: int = 12,
) -> Scene | None:
    """Put the things at random places where none touches another.

    fill: share of the image that their boxes take together, drawn between these. ground: one that they stand out
    from when None. turn: most degrees that a thing is turned by. None when they do not fit: draw others or fewer.
    """
    width, height = size
    if ground is None:
        ground = ground_for(rng, [rim(thing) for thing in things])
    side = (width * height * rng.uniform(*fill) / max(1, len(things))) ** 0.5
    placed: list[Placed] = []
    # the largest first, since what comes last finds least room; the order of the result is the caller's
    sides = [side * rng.uniform(0.75, 1.3) for _ in things]
    order = sorted(range(len(things)), key=lambda number: -sides[number])
    for number in order:
        item = _put(rng, things[number], sides[number], size, [other.box for other in placed], turn)
        if item is None:
            return None
        placed.append(item)
    by_number = dict(zip(order, placed, strict=True))
    return Scene(width, height, ground, tuple(by_number[number] for number in range(len(things))))


def place_at(cutout: Cutout, side: int, x: int, y: int, *, mirrored: bool = False, turned: int = 0) -> Placed:
    """A cut-out whose longer side is `side` pixels, top left corner at (x, y)."""
    width, height = sprite(cutout, mirrored, turned).size
    scale = side / max(width, height)
    return Placed(cutout, (x, y, x + max(1, round(width * scale)), y + max(1, round(height * scale))), mirrored, turned)


def render(scene: Scene) -> Image.Image:
    """The scene as an RGB image of (width, height)."""
    image = paint(scene.ground, scene.width, scene.height)
    for thing in scene.placed:
        cut = shown(thing)
        image.paste(cut, thing.box[:2], cut)
    return image


def shown(placed: Placed) -> Image.Image:
    """The pixels that fill a placed thing's box, RGBA."""
    x1, y1, x2, y2 = placed.box
    full, size = sprite(placed.cutout, placed.mirrored, placed.turned), (x2 - x1, y2 - y1)
    return full.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


@lru_cache(maxsize=64)
def sprite(cutout: Cutout, mirrored: bool = False, turned: int = 0) -> Image.Image:
    """The cut-out at its full size, mirrored, then turned, trimmed to what is seen: RGBA. Do not draw into it."""
    image = picture(cutout)
    if mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return trimmed(image.rotate(turned, Image.Resampling.BILINEAR, expand=True)) if turned else image


def cell_of(placed: Placed, scene: Scene, *, clear: float = 0.06) -> str | None:
    """The ninth of the image in which its centre is; None where that is too close to another one to tell."""
    x, y = placed.centre[0] / scene.width, placed.centre[1] / scene.height
    if any(abs(place - edge) < clear for place in (x, y) for edge in (1 / 3, 2 / 3)):
        return None
    return CELLS[int(y * 3) * 3 + int(x * 3)]


def side_of(placed: Placed, other: Placed) -> str | None:
    """Where `one` is as seen from `other`: "left", "right", "above", "below"; None where people would not agree."""
    across, down = placed.centre[0] - other.centre[0], placed.centre[1] - other.centre[1]
    wide = placed.box[2] - placed.box[0] + other.box[2] - other.box[0]
    high = placed.box[3] - placed.box[1] + other.box[3] - other.box[1]
    if abs(across) > 1.6 * abs(down) and abs(across) > 0.4 * wide:
        return "right" if across > 0 else "left"
    if abs(down) > 1.6 * abs(across) and abs(down) > 0.4 * high:
        return "below" if down > 0 else "above"
    return None


def overlap(int_box: IntBox, other: IntBox) -> int:
    """Pixels that two boxes share."""
    across = min(int_box[2], other[2]) - max(int_box[0], other[0])
    down = min(int_box[3], other[3]) - max(int_box[1], other[1])
    return max(0, across) * max(0, down)


def _put(
    rng: Random, cutout: Cutout, side: float, size: tuple[int, int], taken: Sequence[IntBox], turn: int
) -> Placed | None:
    """The thing where nothing else is; a little smaller after every few places that were taken."""
    mirrored, turned = rng.random() < 0.5 and cutout.kind in _MIRRORED, 0
    if rng.random() < 0.35 and cutout.kind != "shape":
        turned = rng.randint(-turn, turn)
    for _ in range(7):
        longer = min(round(side), round(0.94 * min(size)))
        if longer < min(_SMALLEST, 0.9 * min(size)):
            return None
        item = place_at(cutout, longer, 0, 0, mirrored=mirrored, turned=turned)
        room = size[0] - item.box[2], size[1] - item.box[3]
        for _ in range(8 if min(room) >= 0 else 0):
            moved = item.at(rng.randint(0, room[0]), rng.randint(0, room[1]))
            x1, y1, x2, y2 = moved.box
            if not any(overlap((x1 - _GAP, y1 - _GAP, x2 + _GAP, y2 + _GAP), box) for box in taken):
                return moved
        side *= 0.87
    return None


#: Kinds that look as right in a mirror; text on things and the hands of clocks do not.
_MIRRORED = frozenset(
    ("animal", "fruit", "vegetable", "plant", "food", "produce", "shape", "musical instrument", "tool")
)

"""Furnishing: what stands where in a room, and where the camera is, such that what is seen can be asked about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from pixelword.synthetic.assets import Item, split_of
from pixelword.synthetic.scenes import jitter
from pixelword.synthetic.types import Split
from pixelword_lab.drawing.meshes import RGB, Mesh, shape_mesh
from pixelword_lab.drawing.objects import COLOURS
from pixelword_lab.drawing.rooms3d import Camera, Placed, Room

SHAPES = ("cube", "ball", "cone", "cylinder", "pyramid")
#: Names that people may use for each other: a room has things of one of each group only.
_ALIKE = (
    ("chair", "armchair", "stool"), ("armchair", "sofa", "bench"), ("table", "desk", "bedside table", "pool table"),
    ("bed", "bunk bed", "crib", "sofa"), ("man", "woman", "boy", "girl"), ("plant", "Christmas tree", "palm tree"),
    ("wardrobe", "bookcase", "shelf unit", "chest of drawers", "bedside table", "fridge"),
    ("fridge", "washing machine", "stove", "water cooler"), ("bicycle", "motorbike", "scooter", "tricycle"),
    ("trash can", "barrel", "box"), ("horse", "rocking horse", "deer"), ("box", "suitcase"),
)  # fmt: skip
_FLOORS: tuple[RGB, ...] = ((188, 158, 118), (150, 112, 78), (205, 200, 190), (120, 120, 124), (176, 120, 96),
                            (96, 110, 96), (214, 190, 150), (90, 78, 70), (150, 160, 175))  # fmt: skip
#: How often a coloured shape is chosen, not a piece of furniture.
SHAPE_SHARE = 0.22


@dataclass(frozen=True)
class Piece:
    """Something that can stand in a room. asset: "pack:key"; mesh: its name for `mesh_named`, or its file."""

    asset: str
    label: str
    mesh: str
    size: tuple[float, float, float]


def alike(item: str, other: str) -> bool:
    """Whether two labels may be mixed up, or are the same."""
    return item == other or any(item in group and other in group for group in _ALIKE)


def labels(items: Sequence[Item]) -> list[str]:
    """The labels of the pack's items, each once, in their order."""
    return list(dict.fromkeys(item["label"] for item in items))


def pieces(rng: Random, items: Sequence[Item], split: Split, number: int) -> list[Piece]:
    """`number` pieces whose names are the same or cannot be mixed up."""
    by_label: dict[str, list[Item]] = {}
    for item in items:
        by_label.setdefault(item["label"], []).append(item)
    chosen: list[Piece] = []
    for _ in range(8 * number):
        if len(chosen) >= number:
            break
        if not by_label or rng.random() < SHAPE_SHARE:
            piece = _shape(rng, split)
            if any(piece.label == other.label for other in chosen):
                continue
            chosen.append(piece)
            continue
        label = rng.choice(sorted(by_label))
        if any(alike(label, other.label) for other in chosen):
            continue
        item = rng.choice(by_label[label])
        piece = Piece(f"furniture:{item['key']}", label, item["file"], tuple(item["size"]))
        # several of one kind, for counting
        again = rng.choice((1, 1, 1, 2, 3, 4)) if max(piece.size[0], piece.size[2]) < 1.3 else 1
        chosen += [piece] * min(again, number - len(chosen))
    return chosen


def mesh_named(name: str) -> Mesh | None:
    """The mesh of a plain shape; None for a file of the pack."""
    word, *numbers = name.split(" ")
    if word not in SHAPES:
        return None
    size, red, green, blue = numbers
    return shape_mesh(word, float(size), (int(red), int(green), int(blue)))


def _shape(rng: Random, split: Split) -> Piece:
    """A coloured shape; one in five pairs of colour and shape is held out."""
    pairs = [(colour, shape) for colour in COLOURS for shape in SHAPES
             if colour != "grey" and split_of(f"room {colour} {shape}", 0.2) == split]  # fmt: skip
    colour, shape = rng.choice(pairs)
    size = round(rng.uniform(0.35, 0.9), 2)
    red, green, blue = jitter(rng, COLOURS[colour], 10)
    wide = {"cone": 0.8, "cylinder": 0.7, "pyramid": 0.85}.get(shape, 1.0) * size
    return Piece(
        f"shape:{colour} {shape}", f"{colour} {shape}", f"{shape} {size} {red} {green} {blue}", (wide, size, wide)
    )


def room(rng: Random) -> Room:
    """An empty room of 4 to 8 metres a side; its middle is x = 0, its near wall z = 0."""
    width, depth = rng.uniform(4, 8), rng.uniform(4.5, 8.5)
    floor = jitter(rng, rng.choice(_FLOORS), 14)
    shade = rng.uniform(0.86, 0.98)
    second = tuple(round(part * shade) for part in floor)
    pale = rng.randint(175, 235)
    walls = jitter(rng, (pale, pale, pale), 24)
    return Room(
        -width / 2, width / 2, -depth, 0.0, rng.uniform(2.4, 3.4), floor, (second[0], second[1], second[2]),
        walls, (244, 244, 240), rng.choice((0.4, 0.5, 0.5, 1.0)), rng.uniform(-width / 3, width / 3),
    )  # fmt: skip


def standing(rng: Random, space: Room) -> Camera:
    """A camera before the near wall that looks into the room, at the height of a child's or a grown-up's eyes."""
    heading = rng.uniform(-14, 14)
    return Camera(rng.uniform(-0.5, 0.5) + heading / -20, rng.uniform(1.1, 1.75), space.near - rng.uniform(0.1, 0.4),
                  heading, rng.uniform(6, 15), rng.uniform(46, 58))  # fmt: skip


def before(
    rng: Random,
    chosen: Sequence[Piece],
    space: Room,
    camera: Camera,
    aspect: float,
    *,
    nearest: float = 1.6,
    standing: Sequence[Placed] = (),
) -> tuple[list[Placed], list[Piece]]:
    """What is standing and the pieces on the floor where the camera sees it, and the pieces that found no place."""
    slope = math.tan(math.radians(camera.view / 2)) * aspect
    angle = math.radians(camera.heading)
    placed, left = list(standing), []
    for piece in sorted(chosen, key=lambda item: -item.size[0] * item.size[2]):
        for _ in range(40):
            ahead = rng.uniform(nearest, 9.0)
            side = rng.uniform(-0.8, 0.8) * slope * ahead
            x = camera.x + ahead * math.sin(angle) + side * math.cos(angle)
            z = camera.z - ahead * math.cos(angle) + side * math.sin(angle)
            item = _put(rng, piece, x, z, camera)
            if _fits(item, space, placed) and camera.distance(item) > item.radius + nearest * 0.7:
                placed.append(item)
                break
        else:
            left.append(piece)
    return placed, left


def around(rng: Random, chosen: Sequence[Piece], space: Room, camera: Camera) -> list[Placed]:
    """The pieces on the floor in all directions from the camera, apart from each other."""
    placed: list[Placed] = []
    for piece in chosen:
        for _ in range(30):
            item = _put(rng, piece, rng.uniform(space.left, space.right), rng.uniform(space.far, space.near), camera)
            if _fits(item, space, placed, gap=0.4) and item.radius + 1.1 < camera.distance(item) < 4.0:
                placed.append(item)
                break
    return placed


def _put(rng: Random, piece: Piece, x: float, z: float, camera: Camera) -> Placed:
    """Facing the camera, give or take; seldom away from it."""
    towards = math.degrees(math.atan2(camera.x - x, camera.z - z))
    turn = towards + (rng.uniform(-60, 60) if rng.random() < 0.85 else rng.uniform(0, 360))
    return Placed(piece.mesh, piece.label, piece.size, round(x, 3), round(z, 3), round(turn, 1))


def _fits(item: Placed, space: Room, placed: Sequence[Placed], gap: float = 0.12) -> bool:
    inside = (space.left + item.radius < item.x < space.right - item.radius
              and space.far + item.radius < item.z < space.near - item.radius)  # fmt: skip
    apart = (math.hypot(item.x - other.x, item.z - other.z) > item.radius + other.radius + gap for other in placed)
    return inside and item.size[1] < space.height - 0.1 and all(apart)

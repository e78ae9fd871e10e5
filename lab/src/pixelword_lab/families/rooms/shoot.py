"""Images of rooms and walks through them, with the facts that questions are made of; both go into the pool.

Facts of a thing: label, asset, size (width, height, depth in metres), x and z (metres, z away from the viewer is
negative), distance (metres from the camera along the floor), and of every frame its box, or None while it is not seen.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from random import Random
from typing import Any

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack, Assets
from pixelword.synthetic.types import Split
from pixelword_lab.drawing.clips import encode as encode_clip
from pixelword_lab.drawing.meshes import Mesh
from pixelword_lab.drawing.replay import encode
from pixelword_lab.drawing.rooms3d import Camera, Placed, Renderer, View
from pixelword_lab.families.rooms import layout
from pixelword_lab.families.rooms.layout import Piece

Facts = dict[str, Any]
WALK_SHARE = 0.35
_PICTURE, _CLIP = "room.webp", "walk.mp4"
_LEAST_SHARE = 0.5  # of a thing must be seen, or it is taken out of the room
_LEAST_PIXELS = 0.004  # of the image
_ONCE_PIXELS = 0.012  # of a frame, at least once on a walk, or it is taken out of the room
_HARDLY = 0.003  # of a frame; less is not seen
_TRIES = 40
_ROUNDS = 3  # of finding places for what had none where it is seen


def render_item(rng: Random, split: Split, assets: Assets) -> tuple[dict[str, bytes], Facts]:
    """One room for the pool: an image, or a clip of a walk, and its facts.

    Raises:
        AssetError: the pack `furniture` or vtk is missing.
    """
    pack = assets.pack("furniture")
    renderer = _renderer(pack, os.getpid())
    shoot = _walk if rng.random() < WALK_SHARE else _picture
    for _ in range(_TRIES):
        shot = shoot(rng, pack, split, renderer)
        if shot is not None:
            return shot
    raise AssetError(f"{pack.path}: no room for {split} can be furnished: pixelword tasks fetch furniture")


@lru_cache(maxsize=2)
def _renderer(pack: AssetPack, process: int) -> Renderer:
    """One a process: what draws does not survive a fork."""

    def mesh(name: str) -> Mesh:
        return layout.mesh_named(name) or Mesh.from_bytes(pack.read(name))

    return Renderer(mesh)


def _picture(rng: Random, pack: AssetPack, split: Split, renderer: Renderer) -> tuple[dict[str, bytes], Facts] | None:
    size = rng.choice(((320, 240), (288, 224), (352, 256), (320, 224), (256, 256), (384, 256)))
    space = layout.room(rng)
    camera = layout.standing(rng, space)
    chosen = layout.pieces(rng, pack.of(split), split, rng.randint(3, 9))
    by_mesh = {piece.mesh: piece for piece in chosen}
    things: list[Placed] = []
    left = list(chosen)
    for _ in range(_ROUNDS):
        things, left = layout.before(rng, left, space, camera, size[0] / size[1], standing=things)
        while True:  # whoever hides nothing may stay
            views = renderer.views(things, camera, size)
            kept = [thing for thing, view in zip(things, views, strict=True) if _is_clear(view, size)]
            if len(kept) == len(things):
                break
            left += [by_mesh[thing.mesh] for thing in things if thing not in kept]
            things = kept
        if not left:
            break
    if len(things) < 2:
        return None
    image = renderer.draw(space, things, camera, size)
    boxes = [[view.box if view else None] for view in views]
    return {_PICTURE: encode(image)}, {"file": _PICTURE, **_facts(things, boxes, camera, size, chosen)}


def _walk(rng: Random, pack: AssetPack, split: Split, renderer: Renderer) -> tuple[dict[str, bytes], Facts] | None:
    size = rng.choice(((192, 144), (176, 144), (160, 160), (208, 144)))
    space, count = layout.room(rng), rng.randint(5, 8)
    way = rng.choice(("left", "right", "turn left", "turn right", "turn left", "turn right", "forwards", "backwards"))
    middle = (space.far + space.near) / 2
    start = Camera(rng.uniform(-0.6, 0.6), rng.uniform(1.2, 1.7), middle + rng.uniform(-0.5, 0.5),
                   rng.uniform(0, 360), rng.uniform(6, 13), rng.uniform(50, 60))  # fmt: skip
    chosen = layout.pieces(rng, pack.of(split), split, rng.randint(5, 9))
    if way.startswith("turn"):
        things = layout.around(rng, chosen, space, start)
    else:
        start = replace(layout.standing(rng, space), view=start.view)
        things, _ = layout.before(rng, chosen, space, start, size[0] / size[1], nearest=3.2)
    smooth, rate = 2, rng.choice((1, 2, 2))
    path = _path(rng, way, start, count, smooth)
    if not all(_is_free(camera, things) for camera in path):
        return None
    while True:
        tracks = [renderer.views(things, camera, size, shares=False) for camera in path[::smooth]]
        most = [max((view.pixels for view in mine if view), default=0) for mine in zip(*tracks, strict=True)]
        kept = [thing for thing, pixels in zip(things, most, strict=True) if pixels >= _ONCE_PIXELS * size[0] * size[1]]
        if len(kept) == len(things):
            break
        things = kept
    if len(things) < 2:
        return None
    frames = [renderer.draw(space, things, camera, size) for camera in path]
    hardly = _HARDLY * size[0] * size[1]
    boxes = [
        [view.box if view and view.pixels >= hardly else None for view in mine] for mine in zip(*tracks, strict=True)
    ]
    clip = encode_clip(frames, rate * smooth, quality=rng.randint(18, 26))
    facts = _facts(things, boxes, start, size, chosen)
    return {_CLIP: clip}, {"file": _CLIP, "way": way, "rate": rate, **facts}


def _path(rng: Random, way: str, start: Camera, count: int, smooth: int) -> list[Camera]:
    """Where the camera is in every frame of the file; it is at rest after the last sampled one."""
    steps = [min(number / smooth, count - 1.0) / (count - 1) for number in range(count * smooth)]
    if way.startswith("turn"):
        angle = rng.uniform(14, 27) * (count - 1) * (1 if way == "turn right" else -1)
        return [replace(start, heading=start.heading + angle * step) for step in steps]
    length = rng.uniform(1.0, 1.7) if way in ("forwards", "backwards") else rng.uniform(0.8, 1.4)
    turn = math.radians(start.heading)
    ahead, aside = (math.sin(turn), -math.cos(turn)), (math.cos(turn), math.sin(turn))
    along, sign = {"forwards": (ahead, 1), "backwards": (ahead, -1), "right": (aside, 1), "left": (aside, -1)}[way]
    if way == "backwards":  # it ends where the camera stands
        steps, sign = [1 - step for step in steps], 1
    offset = length / 2 if way in ("left", "right") else 0.0
    shifts = [sign * (length * step - offset) for step in steps]
    return [replace(start, x=start.x + along[0] * by, z=start.z + along[1] * by) for by in shifts]


def _is_free(camera: Camera, things: Sequence[Placed]) -> bool:
    """Whether the camera has room to stand."""
    return all(camera.distance(thing) > thing.radius + 0.5 for thing in things)


def _is_clear(view: View | None, size: tuple[int, int]) -> bool:
    """Whether people would see what it is: enough of it, and not cut off by the image's edge."""
    if view is None or view.share < _LEAST_SHARE or view.pixels < _LEAST_PIXELS * size[0] * size[1]:
        return False
    x1, y1, x2, y2 = view.box
    return x1 > 0 and y1 > 0 and x2 < size[0] and y2 < size[1]


def _facts(
    things: Sequence[Placed],
    boxes: Sequence[Sequence[tuple[float, ...] | None]],
    camera: Camera,
    size: tuple[int, int],
    chosen: Sequence[Piece],
) -> Facts:
    assets = {piece.mesh: piece.asset for piece in chosen}
    described: list[Facts] = [
        {"label": thing.label, "asset": assets[thing.mesh], "size": thing.size, "x": thing.x, "z": thing.z,
         "radius": round(thing.radius, 3), "distance": round(camera.distance(thing), 3), "boxes": list(mine)}
        for thing, mine in zip(things, boxes, strict=True)
    ]  # fmt: skip
    used = sorted({assets[thing.mesh] for thing in things})
    return {"width": size[0], "height": size[1], "things": described, "assets": used, "camera": asdict(camera)}

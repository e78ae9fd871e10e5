"""Wavefront models (.obj with .mtl) -> meshes with a colour a face.

Read here because vtk's importer ends the process on some of the models (a segmentation fault), and only a little of
the format is wanted: points, polygons, and of the materials their colour or the colours of their texture.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from PIL import Image

from pixelword_lab.drawing.meshes import Mesh

_TEXTURE_SIDE = 24  # a texture becomes this many soft patches a side
_MOST_PIXELS = 2**24


@dataclass
class _Material:
    """colour: (3,) 0..255; texture: (side, side, 3) from the bottom up."""

    colour: np.ndarray = field(default_factory=lambda: np.full(3, 204, np.uint8))
    texture: np.ndarray | None = None


def read_wavefront(files: Mapping[str, bytes], model: str) -> Mesh | None:
    """The mesh in the model's own place and unit; None when a material, or all polygons, are missing.

    files: the model and the files beside it, by name.
    """
    points: list[list[float]] = []
    places: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    texture_faces: list[tuple[int, int, int]] = []
    users: list[str] = []  # of each face, its material
    materials: dict[str, _Material] = {}
    used = ""
    for line in files[model].decode("latin-1").replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        match word:
            case "v":
                points.append([float(number) for number in rest.split()[:3]])
            case "vt":
                places.append([float(number) for number in rest.split()[:2]])
            case "mtllib":
                materials |= _read_materials(files, rest.strip())
            case "usemtl":
                used = rest.strip()
            case "f":
                corners = [_corner(corner, len(points), len(places)) for corner in rest.split()]
                for second, third in pairwise(corners[1:]):
                    fan = (corners[0], second, third)
                    faces.append((fan[0][0], fan[1][0], fan[2][0]))
                    texture_faces.append((fan[0][1], fan[1][1], fan[2][1]))
                    users.append(used)
    if not faces or not set(users) <= set(materials):
        return None
    shape = np.array(points, np.float32)
    corner_places = np.array([*places, [0.0, 0.0]], np.float32)  # the last is meant by -1: a corner without a place
    colours = _colours(materials, users, corner_places[np.array(texture_faces)].mean(axis=1))
    kept, renamed = np.unique(np.array(faces, np.int32), return_inverse=True)
    return Mesh(shape[kept], renamed.reshape(-1, 3).astype(np.int32), colours)


def _corner(text: str, points: int, places: int) -> tuple[int, int]:
    """(index of the point, index of its place on the texture or -1) of '7/3/2'; negative numbers count backwards."""
    numbers = text.split("/")
    point = int(numbers[0])
    place = int(numbers[1]) if len(numbers) > 1 and numbers[1] else 0
    return (point - 1 if point > 0 else points + point), (place - 1 if place >= 0 else places + place)


def _read_materials(files: Mapping[str, bytes], name: str) -> dict[str, _Material]:
    """The materials of a .mtl file; none when it is missing."""
    materials: dict[str, _Material] = {}
    current = _Material()
    for line in files.get(name, b"").decode("latin-1").splitlines():
        word, _, rest = line.strip().partition(" ")
        match word.lower():
            case "newmtl":
                current = materials[rest.strip()] = _Material()
            case "kd":
                parts = np.array([float(number) for number in rest.split()[:3]])
                current.colour = np.rint(parts.clip(0, 1) * 255).astype(np.uint8)
            case "map_kd":
                current.texture = _read_texture(files.get(rest.strip().replace("\\", "/").rpartition("/")[2], b""))
    return materials


def _read_texture(content: bytes) -> np.ndarray | None:
    """None for what is not an image: the material's plain colour is used then."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content))
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            small = picture.convert("RGB").resize((_TEXTURE_SIDE, _TEXTURE_SIDE), Image.Resampling.BOX)
    except OSError:
        return None
    return np.asarray(small)[::-1]


def _colours(materials: Mapping[str, _Material], users: list[str], places: np.ndarray) -> np.ndarray:
    """(T, 3) uint8 of the faces; places: (T, 2) of their middles on the texture, 0..1 once around."""
    names = np.array(users)
    colours = np.empty((len(users), 3), np.uint8)
    for name in set(users):
        mine, material = names == name, materials[name]
        if material.texture is None:
            colours[mine] = material.colour
        else:
            columns, rows = np.floor((places[mine] % 1.0) * _TEXTURE_SIDE).astype(int).clip(0, _TEXTURE_SIDE - 1).T
            colours[mine] = material.texture[rows, columns]
    return colours

"""Meshes of triangles with a colour a face: what rooms are furnished with."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass

import numpy as np

from pixelword.errors import AssetError

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Mesh:
    """A thing that stands on y = 0 around x = z = 0, facing +z.

    points: (V, 3) float32, metres, y up. faces: (T, 3) int32, indices of points. colours: (T, 3) uint8.
    """

    points: np.ndarray
    faces: np.ndarray
    colours: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """(width, height, depth) in metres."""
        return self.points.max(axis=0) - self.points.min(axis=0)

    def to_bytes(self) -> bytes:
        """A few bytes a point: places are rounded to 1/65535 of the size."""
        low, size = self.points.min(axis=0), self.size
        steps = np.rint((self.points - low) / np.where(size > 0, size, 1) * 65535).astype(np.uint16)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, points=steps, low=low.astype(np.float32), size=size.astype(np.float32),
                            faces=self.faces.astype(np.uint16), colours=self.colours)  # fmt: skip
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Mesh:
        """Raises AssetError: not what `to_bytes` gives."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                points = (file["low"] + file["points"] / 65535 * file["size"]).astype(np.float32)
                return cls(points, file["faces"].astype(np.int32), file["colours"])
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise AssetError(f"a mesh that cannot be read ({error}): fetch its pack again") from error


def box_mesh(size: tuple[float, float, float], colour: RGB, at: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    """A box of (width, height, depth) whose bottom's centre is at a place."""
    corners = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (0, 1) for z in (-0.5, 0.5)], np.float32)
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
             (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]  # fmt: skip
    return _mesh(corners * np.array(size, np.float32) + np.array(at, np.float32), faces, colour)


def turned_mesh(profile: list[tuple[float, float]], colour: RGB, sides: int = 32) -> Mesh:
    """What a profile of (radius, height) points sweeps when it turns around the upright axis: a cone, a ball."""
    points, faces = [], []
    for radius, height in profile:
        for number in range(sides):
            angle = 2 * math.pi * number / sides
            points.append((radius * math.cos(angle), height, radius * math.sin(angle)))
    for ring in range(len(profile) - 1):
        for number in range(sides):
            a, b = ring * sides + number, ring * sides + (number + 1) % sides
            faces += [(a, b, b + sides), (a, b + sides, a + sides)]
    return _mesh(np.array(points, np.float32), faces, colour)


def shape_mesh(shape: str, size: float, colour: RGB) -> Mesh:
    """A plain "cube", "ball", "cone", "cylinder" or "pyramid", `size` metres high."""
    half = size / 2
    match shape:
        case "cube":
            return box_mesh((size, size, size), colour)
        case "ball":
            turns = [math.pi * step / 16 for step in range(17)]
            return turned_mesh([(half * math.sin(turn), half - half * math.cos(turn)) for turn in turns], colour)
        case "cone":
            return turned_mesh([(0, 0), (half * 0.8, 0), (half * 0.8, 0), (0, size)], colour)
        case "cylinder":
            return turned_mesh([(0, 0), (half * 0.7, 0), (half * 0.7, size), (0, size)], colour)
        case "pyramid":
            return turned_mesh([(0, 0), (half * 1.2, 0), (half * 1.2, 0), (0, size)], colour, sides=4)
        case _:
            raise ValueError(f"no shape {shape!r}")


def _mesh(points: np.ndarray, faces: list[tuple[int, int, int]], colour: RGB) -> Mesh:
    return Mesh(
        points.astype(np.float32), np.array(faces, np.int32), np.tile(np.array(colour, np.uint8), (len(faces), 1))
    )

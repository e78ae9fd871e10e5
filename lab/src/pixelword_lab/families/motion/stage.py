"""The stage of a clip: things with places in time, and what is seen of them at the moments that are sampled."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random

from PIL import Image

from pixelword.synthetic.types import Box
from pixelword_lab.drawing.backgrounds import Ground, paint
from pixelword_lab.drawing.compose import TOKEN, Placed, place_at, sprite
from pixelword_lab.drawing.objects import Cutout, colour_of

#: Less of a thing than this within the image counts as not seen.
_SEEN = 0.3


@dataclass(frozen=True)
class Key:
    """Where a thing is at a moment: `step` of the sampled frames, its centre in pixels, its size as a factor."""

    step: float
    x: float
    y: float
    scale: float = 1.0


@dataclass(frozen=True)
class Actor:
    """A thing that is between its keys on straight lines, before and after them at rest.

    shown: [from, to) in steps, while it is there at all; () is always.
    """

    cutout: Cutout
    size: tuple[int, int]
    keys: tuple[Key, ...]
    shown: tuple[tuple[float, float], ...] = ()

    @property
    def name(self) -> str:
        """'apple'; of drawn shapes with the colour: 'red circle'."""
        return f"{colour_of(self.cutout)} {self.cutout.name}" if self.cutout.pack is None else self.cutout.name

    def box(self, step: float) -> tuple[int, int, int, int] | None:
        """Its whole box, beyond the image's edges too; None while it is not there."""
        if self.shown and not any(start <= step < end for start, end in self.shown):
            return None
        after = bisect_right(self.keys, step, key=lambda key: key.step)
        item, other = self.keys[max(0, after - 1)], self.keys[min(after, len(self.keys) - 1)]
        share = (step - item.step) / (other.step - item.step) if other.step > item.step <= step else 0.0
        x, y, scale = (
            a + (b - a) * share for a, b in ((item.x, other.x), (item.y, other.y), (item.scale, other.scale))
        )
        width, height = max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale))
        left, top = round(x - width / 2), round(y - height / 2)
        return left, top, left + width, top + height


@dataclass(frozen=True)
class Stage:
    """A clip before it is filmed. count: of sampled frames; rate: sampled a second; smooth: filmed for each sampled."""

    width: int
    height: int
    ground: Ground
    actors: tuple[Actor, ...]
    count: int
    rate: int
    smooth: int

    @property
    def fps(self) -> int:
        """Frames a second of the file."""
        return self.rate * self.smooth

    def time(self, step: int) -> float:
        """Seconds of a sampled frame."""
        return step / self.rate

    @cached_property
    def seen(self) -> tuple[tuple[Box | None, ...], ...]:
        """Of each actor its box in every sampled frame, as far as it is in the image; None where it is not seen."""
        return tuple(tuple(self._within(actor.box(step)) for step in range(self.count)) for actor in self.actors)

    def frames(self) -> Iterator[Image.Image]:
        """Every frame of the file, in order."""
        ground = paint(self.ground, self.width, self.height)
        cuts: dict[tuple[int, tuple[int, int]], Image.Image] = {}
        for number in range(self.count * self.smooth):
            frame = ground.copy()
            for which, actor in enumerate(self.actors):
                box = actor.box(number / self.smooth)
                if box is None:
                    continue
                size = box[2] - box[0], box[3] - box[1]
                if (which, size) not in cuts:
                    whole = sprite(actor.cutout)
                    cuts[which, size] = whole.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
                frame.paste(cuts[which, size], box[:2], cuts[which, size])
            yield frame

    def _within(self, box: tuple[int, int, int, int] | None) -> Box | None:
        if box is None:
            return None
        x1, y1, x2, y2 = max(0, box[0]), max(0, box[1]), min(self.width, box[2]), min(self.height, box[3])
        area = max(0, x2 - x1) * max(0, y2 - y1)
        return (x1, y1, x2, y2) if area >= _SEEN * (box[2] - box[0]) * (box[3] - box[1]) else None


def sides(rng: Random, count: int, tokens: int = 190) -> tuple[int, int]:
    """(width, height), even, 96 to 256 each, such that `count` frames take about `tokens` visual tokens at most."""
    area = min(44.0, max(9.0, rng.uniform(0.6, 1.0) * tokens / count)) * TOKEN
    aspect = 1.6 ** rng.triangular(-0.6, 1, 0.4)
    return tuple(2 * round(min(256, max(96, math.sqrt(area * part))) / 2) for part in (aspect, 1 / aspect))  # type: ignore[return-value]


def size_of(cutout: Cutout, side: float) -> tuple[int, int]:
    """(width, height) of a thing whose longer side is `side` pixels."""
    placed: Placed = place_at(cutout, max(20, round(side)), 0, 0)
    return placed.box[2], placed.box[3]

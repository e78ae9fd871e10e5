"""Draw the pictures of this folder and write train.jsonl and held_out.jsonl beside them.

Twenty small signs of the weather to learn from, four of each kind, and five to try the result on. No two are alike:
size, place and colours are drawn at random.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
SIDE, FINE = 96, 4  # pixels of a picture, and how much larger it is drawn before it is shrunk
QUESTION = "what is the weather?"
RGB = tuple[int, int, int]


class Pen:
    """Draws on a picture whose sides are 1 long, then shrinks it, so that edges are smooth."""

    def __init__(self, ground: RGB) -> None:
        self.picture = Image.new("RGB", (SIDE * FINE, SIDE * FINE), ground)
        self._draw = ImageDraw.Draw(self.picture)

    def circle(self, x: float, y: float, radius: float, colour: RGB) -> None:
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse([v * SIDE * FINE for v in box], fill=colour)

    def line(self, points: list[tuple[float, float]], width: float, colour: RGB) -> None:
        scaled = [(x * SIDE * FINE, y * SIDE * FINE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(width * SIDE * FINE), joint="curve")

    def polygon(self, points: list[tuple[float, float]], colour: RGB) -> None:
        self._draw.polygon([(x * SIDE * FINE, y * SIDE * FINE) for x, y in points], fill=colour)

    def done(self) -> Image.Image:
        return self.picture.reduce(FINE)


def sun(pen: Pen, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    yellow = jitter((250, 205, 40), rng)
    pen.circle(x, y, 0.5 * size, yellow)
    for angle in np.arange(8) * math.pi / 4 + rng.uniform(0, 0.7):
        dx, dy = math.cos(angle) * size, math.sin(angle) * size
        pen.line([(x + 0.65 * dx, y + 0.65 * dy), (x + dx, y + dy)], 0.14 * size, yellow)


def cloud(pen: Pen, x: float, y: float, size: float, rng: np.random.Generator, colour: RGB = (235, 238, 242)) -> None:
    grey = jitter(colour, rng)
    for dx, dy, radius in (
        (-0.55, 0.1, 0.42),
        (0.0, -0.12, 0.55),
        (0.55, 0.1, 0.42),
        (-0.2, 0.2, 0.35),
        (0.2, 0.2, 0.35),
    ):
        pen.circle(x + dx * size, y + dy * size, radius * size, grey)


def rain(pen: Pen, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    cloud(pen, x, y - 0.4 * size, size, rng, (195, 200, 210))
    blue = jitter((30, 80, 210), rng)
    for dx in (-0.5, 0.0, 0.5):
        pen.line(
            [(x + (dx + 0.1) * size, y + 0.3 * size), (x + (dx - 0.15) * size, y + 0.95 * size)], 0.14 * size, blue
        )


def snow(pen: Pen, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    white = jitter((250, 250, 252), rng)
    for angle in np.arange(3) * math.pi / 3 + rng.uniform(0, 1.0):
        dx, dy = math.cos(angle) * size, math.sin(angle) * size
        pen.line([(x - dx, y - dy), (x + dx, y + dy)], 0.13 * size, white)
        for end in (-1, 1):
            for turn in (-0.6, 0.6):
                tip = angle + turn
                at = (x + 0.55 * end * dx, y + 0.55 * end * dy)
                to = (at[0] + 0.4 * end * size * math.cos(tip), at[1] + 0.4 * end * size * math.sin(tip))
                pen.line([at, to], 0.11 * size, white)


def lightning(pen: Pen, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    cloud(pen, x, y - 0.4 * size, size, rng, (80, 84, 95))
    bolt = [(0.15, -0.05), (-0.35, 0.5), (-0.02, 0.5), (-0.2, 1.05), (0.4, 0.35), (0.07, 0.35), (0.35, -0.05)]
    pen.polygon([(x + dx * size, y + dy * size) for dx, dy in bolt], jitter((252, 205, 30), rng))


DRAWN: dict[str, Callable[[Pen, float, float, float, np.random.Generator], None]] = {
    "clear": sun,
    "cloudy": cloud,
    "rainy": rain,
    "snowy": snow,
    "stormy": lightning,
}


def jitter(colour: RGB, rng: np.random.Generator) -> RGB:
    red, green, blue = np.clip(np.array(colour) + rng.integers(-12, 13, 3), 0, 255).tolist()
    return red, green, blue


def draw(weather: str, rng: np.random.Generator) -> Image.Image:
    pen = Pen(jitter([(95, 150, 215), (70, 110, 160), (120, 135, 150)][rng.integers(3)], rng))
    size = rng.uniform(0.3, 0.36)
    x, y = rng.uniform(0.44, 0.56, 2)
    DRAWN[weather](pen, x, y, size, rng)
    return pen.done()


def write(name: str, each: int, rng: np.random.Generator) -> None:
    """So many pictures of each weather, and a LLaVA-form line for each of them."""
    lines = []
    for number in range(1, each + 1):
        for weather in DRAWN:
            path = f"pictures/{name}_{weather}_{number}.png"
            draw(weather, rng).save(HERE / path, optimize=True)
            turns = [{"from": "human", "value": f"<image>\n{QUESTION}"}, {"from": "gpt", "value": weather}]
            lines.append(json.dumps({"image": path, "conversations": turns}))
    (HERE / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main() -> None:
    (HERE / "pictures").mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    write("train", 4, rng)
    write("held_out", 1, rng)


if __name__ == "__main__":
    main()

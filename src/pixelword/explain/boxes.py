"""Places that an answer names, drawn onto the image that was sent."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from pixelword.explain import lettering
from pixelword.processing.boxes import Place
from pixelword.processing.images import to_rgb

#: Distinguishable with colour blindness, on light and dark images (Okabe and Ito).
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LEAST = 480  # pixels of the longer side: smaller images are enlarged, so that labels can be read


def draw_places(image: Image.Image, places: Sequence[Place]) -> Image.Image:
    """Return a copy of an upright image with the boxes and points that are in it, each with its label.

    Small images are enlarged by a whole factor, with hard edges. Places without pixels are left out.
    """
    factor = max(1, -(-_LEAST // max(image.size)))
    drawn = to_rgb(image).resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(drawn)
    line = max(2, round(max(drawn.size) / 300))
    size = max(12, round(max(drawn.size) / 45))
    labels = []
    for number, place in enumerate(places):
        colour = _COLOURS[number % len(_COLOURS)]
        shape = [side * factor for side in place.box or place.point or ()]
        if len(shape) == 4:
            _outline(draw, shape, line, colour)
        elif len(shape) == 2:
            _cross(draw, shape, 3 * line, line, colour)
        else:
            continue
        labels.append((place.label or str(number + 1), shape, colour))
    for text, shape, colour in labels:  # over all outlines
        _label(draw, text, shape, size, colour, drawn.size)
    return drawn


def _outline(draw: ImageDraw.ImageDraw, box: Sequence[float], line: int, colour: str) -> None:
    """A coloured frame between two thin white ones; right and bottom are just outside of the box."""
    x1, y1, x2, y2 = round(box[0]), round(box[1]), round(box[2]) - 1, round(box[3]) - 1
    x2, y2 = max(x1, x2), max(y1, y2)
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="white", width=line + 2)
    draw.rectangle((x1, y1, x2, y2), outline=colour, width=line)


def _cross(draw: ImageDraw.ImageDraw, point: Sequence[float], arm: int, line: int, colour: str) -> None:
    x, y = point
    for wide, fill in ((line + 2, "white"), (line, colour)):
        draw.line((x - arm, y, x + arm, y), fill=fill, width=wide)
        draw.line((x, y - arm, x, y + arm), fill=fill, width=wide)


def _label(
    draw: ImageDraw.ImageDraw, text: str, shape: Sequence[float], size: int, colour: str, image: tuple[int, int]
) -> None:
    """Write a label above its shape where there is room, else inside of it; always within the image."""
    (text,) = lettering.wrapped(text, size, image[0] - size, 1)
    wide, high = lettering.width(text, size) + size * 0.6, size * 1.35
    left = min(max(shape[0], 0), max(image[0] - wide, 0))
    top = shape[1] - high if shape[1] >= high else shape[1]
    top = min(max(top, 0), max(image[1] - high, 0))
    draw.rectangle((left, top, left + wide, top + high), fill=colour)
    lettering.write(draw, (left + size * 0.3, top + size * 0.05), text, size, "white")

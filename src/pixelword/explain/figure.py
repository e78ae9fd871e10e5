"""Renders an explanation as a PNG: the images, and each answer token's map over them."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from pixelword.explain import lettering
from pixelword.explain.overlay import PAINTED, Painted, heat, painted
from pixelword.explain.types import Evidence
from pixelword.utils.files import atomic_write, check_place

if TYPE_CHECKING:
    from pixelword.explain.trace import Seen

#: Pixels that a sheet may be wide, what stays free around it, and what stands between words and between images.
WIDE, MARGIN, APART, BESIDE = 1680, 36, 28, 6
_LEAST = 560
_INK, _MUTED, _LINE, _GREY = "#1d1f24", "#646a73", "#dfe0da", (154, 154, 154)
_QUESTION, _ANSWER, _WORD, _SMALL = 30, 21, 20, 15


def save_png(evidence: Evidence, path: str | Path, method: str = "mean", model: str = "") -> tuple[Path, ...]:
    """Write the sheet and, given an existing folder, each token's images without text; return the files.

    Raises InputError: as `painted`, or the files cannot be written.
    """
    path = check_place(Path(path), ".png")
    made = sheet(evidence, method, model)
    if not path.is_dir():
        _write(path, made)
        return (path,)
    _, panels = painted(evidence, method)
    words = panels[-len(evidence.reading.words) :]
    named = {"sheet": made, "pictures": _strip(panels[0].images)}
    if len(words) > 1:
        named["answer"] = _strip(panels[1].images)
    for number, item in enumerate(words, 1):
        name = re.sub(r"[^\w-]+", "", item.text)[:24]
        named[f"word-{number:02}{'-' if name else ''}{name}"] = _strip(item.images)
    files = {path / f"{name}.png": image for name, image in named.items()}
    for file, image in files.items():
        _write(file, image)
    return tuple(files)


def sheet(evidence: Evidence, method: str, model: str = "") -> Image.Image:
    """Draw the sheet: question and answer, the images, the maps with their tokens, and the method."""
    pictures, panels = painted(evidence, method)
    blocks = [_block(panel, pictures, method) for panel in panels]
    wide, high = blocks[0].size
    across = max(1, (WIDE - 2 * MARGIN + APART) // (wide + APART))
    if len(pictures) > 2 and len(blocks) <= 4:
        across = 1  # a few words over frames: each frame under itself
    across = -(-len(blocks) // -(-len(blocks) // across))  # as many rows, filled evenly
    inner = max(_LEAST, across * (wide + APART) - APART)
    question_lines = lettering.wrapped(evidence.question, _QUESTION, inner, 3)
    answer_lines = lettering.wrapped(evidence.answer, _ANSWER, inner, 4)
    about = lettering.wrapped(footnote(evidence, method, model, pictures), _SMALL, inner, 3)
    rows = -(-len(blocks) // across)
    sizes = [(_QUESTION, question_lines, _INK), (_ANSWER, answer_lines, _MUTED)]
    top = MARGIN + sum(_tall(lines, size) for size, lines, _ in sizes) + APART
    foot = top + rows * (high + APART)
    made = Image.new("RGB", (inner + 2 * MARGIN, foot + _tall(["", *about], _SMALL) + MARGIN), "white")
    draw, y = ImageDraw.Draw(made), MARGIN
    for size, lines, colour in sizes:
        y = _lines(draw, y, lines, size, colour)
    for number, block in enumerate(blocks):
        row, column = divmod(number, across)
        made.paste(block, (MARGIN + column * (wide + APART), top + row * (high + APART)))
    _legend(made, foot, panels[-1].hottest, method)
    _lines(draw, foot + _tall([""], _SMALL), about, _SMALL, _MUTED)
    return made


def _block(item: Painted, pictures: tuple[Seen, ...], method: str) -> Image.Image:
    """Draw a token, its map's peak, and its images, each with its number or timestamp."""
    labels = tuple(seen.label for seen in pictures)
    strip = _strip(item.images, labels)
    head = _tall([""], _WORD) + 4
    made = Image.new("RGB", (strip.width, head + strip.height), "white")
    draw = ImageDraw.Draw(made)
    text, aside = item.text or f"the {_kind(pictures)}", _strength(item, method)
    (shown,) = lettering.wrapped(text, _WORD, strip.width, 1)
    lettering.write(draw, (0, 0), shown, _WORD, _INK if item.text else _MUTED)
    at = strip.width - lettering.width(aside, _SMALL)
    if at >= lettering.width(shown, _WORD) + 12:  # else the word needs the room
        lettering.write(draw, (at, _WORD - _SMALL), aside, _SMALL, _MUTED)
    made.paste(strip, (0, head))
    return made


def _strength(item: Painted, method: str) -> str:
    """Return the peak's label, if the map's values are meaningful."""
    if not item.text or method == "gradient":
        return ""
    if method == "occlusion":
        return f"max {item.strongest:.2f} nats"
    share = 100 * item.strongest
    return f"max {share:.{1 if share < 10 else 0}f} %"


def _kind(pictures: tuple[Seen, ...]) -> str:
    """Return labels of the images; frames have timestamps."""
    name = "frame" if ":" in pictures[0].label else "image"
    return name if len(pictures) == 1 else f"{name}s"


def _strip(images: tuple[Image.Image, ...], labels: tuple[str, ...] = ()) -> Image.Image:
    """Draw images side by side, wrapped into rows, with a hairline around each."""
    wide, high = (max(item.size[axis] for item in images) for axis in (0, 1))
    under = _tall([""], _SMALL) + 4 if any(labels) else 0
    across = min(len(images), max(1, (WIDE - 2 * MARGIN + BESIDE) // (wide + BESIDE)))
    across = -(-len(images) // -(-len(images) // across))
    rows = -(-len(images) // across)
    size = (across * (wide + BESIDE) - BESIDE, rows * (high + under + BESIDE) - BESIDE)
    made = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(made)
    for number, image in enumerate(images):
        row, column = divmod(number, across)
        x, y = column * (wide + BESIDE), row * (high + under + BESIDE)
        made.paste(image, (x, y))
        draw.rectangle((x, y, x + image.width - 1, y + image.height - 1), outline=_LINE)
        if under and labels[number]:
            lettering.write(draw, (x, y + image.height + 4), labels[number], _SMALL, _MUTED)
    return made


def _legend(made: Image.Image, y: int, hottest: float, method: str) -> None:
    """Draw the colour scale over grey, as on the page."""
    over = heat(np.linspace(0, 1, 160)[None].repeat(12, 0))
    cover = over[..., 3:]
    ramp = Image.fromarray(np.rint(np.array(_GREY) * (1 - cover) + over[..., :3] * cover).astype(np.uint8))
    made.paste(ramp, (MARGIN + 18, y + 4))
    if method == "occlusion":
        end = f"{hottest:.2f} nats less likely with the patch hidden; blue: likelier by as much"
    else:
        end = "the strongest patch of each word"
    draw = ImageDraw.Draw(made)
    lettering.write(draw, (MARGIN, y), "0", _SMALL, _MUTED)
    lettering.write(draw, (MARGIN + 18 + ramp.width + 8, y), end, _SMALL, _MUTED)


def footnote(evidence: Evidence, method: str, model: str, shown: tuple[Seen, ...]) -> str:
    """Return the caption: method, model, and the map's score if it was checked."""
    parts = [PAINTED[method], model]
    if (total := len(evidence.reading.pictures)) > len(shown):
        parts.append(f"{len(shown)} of {total} {_kind(evidence.reading.pictures)}, those with most of the map")
    found = evidence.faithfulness
    if found is not None and not found.matter:
        parts.append("hiding any single patch changes little, so no map can be confirmed")
    elif found is not None and method != "occlusion":
        own, chance = (round(100 * found.checks[name].found) for name in (method, "chance"))
        parts.append(f"finds {own} % of the patches whose hiding matters, any order {chance} %")
    return "  ·  ".join(filter(None, parts))


def _lines(draw: ImageDraw.ImageDraw, y: int, lines: list[str], size: int, colour: str) -> int:
    """Draw lines of text from y on; return the next y."""
    for number, line in enumerate(lines):
        lettering.write(draw, (MARGIN, y + round(number * lettering.LEADING * size)), line, size, colour)
    return y + _tall(lines, size)


def _tall(lines: list[str], size: int) -> int:
    return round(len(lines) * lettering.LEADING * size)


def _write(path: Path, image: Image.Image) -> None:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    atomic_write(path, file.getvalue())

"""Places in answers: how they are written, read, and brought from the model's thousandths to the sender's pixels.

The released form is `<ref>label</ref><box>[[x1, y1, x2, y2]]</box>`: corners in thousandths of the width and height of
the image that the model is shown; several boxes may share a label. Also read: `<point>`, `<quad>` (its bounding box), a
box of two numbers as a point, and JSON with `box` or `bbox_2d`. Whatever else stands there is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from pixelword.processing.types import ImageSpan

Numbers = tuple[float, ...]

_MARK = re.compile(
    r"<ref>(?P<label>[^<]*)(?:</ref>)?|<(?P<kind>box|quad|point)>(?P<numbers>[^<]*)</(?P=kind)>"
    r"|\[(?P<clock>(?:\d+:)?\d+:\d\d\.\d\d)\]|\b(?:image|picture|photo|img)[ _#-]?(?P<image>\d{1,4})\b"
    r"|\bframe[ _#-]?(?P<frame>\d{1,4})\b|(?P<end>[.!?]\s|\n)",
    re.IGNORECASE,
)
_THOUGHTS = re.compile(r"^\s*<think>.*?(?:</think>|$)", re.DOTALL)
_GROUP = re.compile(r"[\[(][^\[\]()]+[\])]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_BARE = re.compile(r"\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]")
_FENCE = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)
_FLAT = re.compile(r"\{[^{}]*\}")
_MOST = 1000  # places of one answer


def boxes_schema(images: int = 1) -> dict[str, Any]:
    """The JSON schema of an answer that is a list of boxes, for structured outputs; `places` reads it.

    Corners are thousandths, so that a box cannot be malformed; those in the wrong order are swapped when it is read.
    Where the prompt has several images, each box has the number of its `image`, from 0.
    """
    corner = {"type": "integer", "minimum": 0, "maximum": 1000}
    fields: dict[str, Any] = {"label": {"type": "string", "minLength": 1, "maxLength": 80}}
    if images > 1:
        fields["image"] = {"type": "integer", "minimum": 0, "maximum": images - 1}
    fields["box"] = {"type": "array", "items": corner, "minItems": 4, "maxItems": 4}
    entry = {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}
    objects = {"type": "array", "items": entry, "maxItems": 100}
    return {
        "type": "object",
        "properties": {"objects": objects},
        "required": ["objects"],
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class Mark:
    """A place as the model writes it. numbers: a box's four or a point's two, in thousandths.

    image: number of the image among those that the model is shown, crops included and frames left out; sent: of JSON,
    among those that were sent; frame: of the frame among all frames; clock: seconds of a frame. None where the text
    names none.
    """

    label: str
    numbers: Numbers
    image: int | None = None
    frame: int | None = None
    clock: float | None = None
    sent: int | None = None


@dataclass(frozen=True)
class Place:
    """A labelled box or point in what was sent; pixels as in :class:`Origin`, x2 and y2 just outside.

    Attributes:
        label: What is there, in the model's words; may be empty.
        box: (x1, y1, x2, y2) in sent pixels, to a hundredth; None for a point, and for a place in no known image.
        box_1000: As the model wrote it: in thousandths of the image that it was shown.
        point, point_1000: (x, y), for a point.
        image: Number of the image among those sent, from 0; None for a frame, and where the answer does not say which
            of several it is.
        video, frame, time: For a frame: number of the video, of the frame among its shown frames, and seconds.
    """

    label: str
    box: Numbers | None = None
    box_1000: Numbers | None = None
    point: Numbers | None = None
    point_1000: Numbers | None = None
    image: int | None = None
    video: int | None = None
    frame: int | None = None
    time: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON: `label`, `box`, `box_1000` and `image` always, others where they are known."""
        fields = asdict(self)
        always = ("label", "image", *(("point", "point_1000") if self.point_1000 else ("box", "box_1000")))
        return {name: value for name, value in fields.items() if name in always or value is not None}


def grounded(name: str, box: Sequence[float], size: tuple[int, int]) -> str:
    """'<ref>name</ref><box>[[x1, y1, x2, y2]]</box>': a box of pixels, in thousandths of the image's size."""
    return f"<ref>{name}</ref>{boxed(box, size)}"


def boxed(box: Sequence[float], size: tuple[int, int]) -> str:
    """'<box>[[x1, y1, x2, y2]]</box>', as `grounded` without its name."""
    sides = (size[0], size[1], size[0], size[1])
    corners = (min(1000, max(0, round(1000 * place / side))) for place, side in zip(box, sides, strict=True))
    return f"<box>[[{', '.join(map(str, corners))}]]</box>"


def quadruples(text: str) -> list[tuple[float, float, float, float]]:
    """Return every [x1, y1, x2, y2] of a text, marked as a box or not, as it stands there."""
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in _BARE.findall(text)]


def marks(text: str) -> list[Mark]:
    """Return the places that an answer names, its thoughts left out; malformed ones are ignored. Never raises."""
    text = _THOUGHTS.sub("", text, count=1)
    found = list(_from_json(text)) or list(_from_text(text))
    return found[:_MOST]


def places(text: str, images: Sequence[ImageSpan]) -> tuple[Place, ...]:
    """Return the places of an answer in what was sent.

    Args:
        text: The answer.
        images: The images and frames of its prompt, with their origins.
    """
    return tuple(_placed(mark, images) for mark in marks(text))


def _placed(mark: Mark, images: Sequence[ImageSpan]) -> Place:
    span = _shown(mark, images)
    is_point = len(mark.numbers) == 2
    pixels = None if span is None or span.origin is None else _pixels(mark.numbers, span)
    where: dict[str, Any] = {}
    if span is not None and span.origin is not None:
        number = span.origin.number
        where = {"image": number} if span.video is None else {"frame": number}
        where |= {"video": span.video, "time": span.timestamp}
    if is_point:
        return Place(mark.label, point=pixels, point_1000=mark.numbers, **where)
    return Place(mark.label, box=pixels, box_1000=mark.numbers, **where)


def _pixels(numbers: Numbers, span: ImageSpan) -> Numbers:
    assert span.origin is not None
    corners = [span.origin.to_sent(*numbers[at : at + 2]) for at in range(0, len(numbers), 2)]
    return tuple(round(side, 2) for corner in corners for side in corner)


def _shown(mark: Mark, images: Sequence[ImageSpan]) -> ImageSpan | None:
    """Return the image or frame that a place is in; None where the answer leaves it open.

    Without a name it is the only image (its whole, not a crop of it), or the only frame.
    """
    stills = [image for image in images if image.video is None]
    frames = [image for image in images if image.video is not None]
    if mark.clock is not None:
        times = [frame for frame in frames if frame.timestamp is not None]
        return min(times, key=lambda frame: abs((frame.timestamp or 0) - (mark.clock or 0)), default=None)
    for number, among in ((mark.frame, frames), (mark.image, stills)):
        if number is not None and number < len(among):
            return among[number]
    if mark.sent is not None:
        for at, image in enumerate(stills):  # a whole image stands before its crops
            if _number(image, at) == mark.sent:
                return image
    sent = {(image.video, _number(image, at)) for at, image in enumerate(images)}
    return images[0] if len(sent) == 1 else None


def _number(image: ImageSpan, at: int) -> int:
    """Number of an image among those sent; `at` where that is not known."""
    return at if image.origin is None else image.origin.number


def _from_text(text: str) -> Iterator[Mark]:
    """Places by their marks. A label, an image or a time holds until the next; a used label ends with its sentence."""
    label, used = "", False
    image = frame = clock = None
    for found in _MARK.finditer(text):
        if (named := found["label"]) is not None:
            label, used = " ".join(named.split()), False
            inner = [item for item in _MARK.finditer(label) if item["image"] or item["frame"]]
            found = inner[0] if inner else found
        if found["kind"] is not None:
            used = True
            for numbers in _shapes(found["kind"], found["numbers"]):
                yield Mark(label, numbers, image, frame, clock)
        elif found["clock"] is not None:
            image, frame, clock = None, None, _seconds(found["clock"])
        elif found["image"] is not None:
            image, frame, clock = max(int(found["image"]) - 1, 0), None, None
        elif found["frame"] is not None:
            image, frame, clock = None, max(int(found["frame"]) - 1, 0), None
        elif found["end"] is not None and used:
            label = ""


def _seconds(clock: str) -> float:
    seconds = 0.0
    for part in clock.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _shapes(kind: str, text: str) -> Iterator[Numbers]:
    """Numbers of a mark -> boxes and points, each in brackets of its own, or all without brackets."""
    groups = [_NUMBER.findall(group) for group in _GROUP.findall(text)] or [_NUMBER.findall(text)]
    if kind.lower() == "box" and len(groups) > 1 and all(len(group) == 2 for group in groups):  # (x1, y1), (x2, y2)
        groups = [[*a, *b] for a, b in zip(groups[::2], groups[1::2], strict=False)]
    if kind.lower() == "quad":
        groups = [[*chain(*groups)]] if all(len(group) == 2 for group in groups) else groups
        groups = [_around(group) for group in groups if len(group) == 8]
    for group in groups:
        if (shape := shape_of(group)) is not None:
            yield shape


def _around(corners: Sequence[Any]) -> list[float]:
    xs, ys = [float(x) for x in corners[::2]], [float(y) for y in corners[1::2]]
    return [min(xs), min(ys), max(xs), max(ys)]


def shape_of(numbers: Sequence[Any]) -> Numbers | None:
    """Numbers in thousandths -> a box or a point within 0..1000, a box's corners in order; None where they are neither.

    A box without an area is neither.
    """
    sides = [min(1000.0, max(0.0, float(number))) for number in numbers]
    if len(sides) not in (2, 4):
        return None
    if len(sides) == 4:
        x1, y1, x2, y2 = sides
        sides = [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]
        if sides[0] == sides[2] or sides[1] == sides[3]:
            return None
    return tuple(int(side) if side.is_integer() else side for side in sides)


def _from_json(text: str) -> Iterator[Mark]:
    """Places of an answer that is JSON: objects anywhere in it with `box`, `bbox_2d` or `point`.

    Of JSON that was cut, the objects that are whole.
    """
    fenced = _FENCE.search(text)
    body = (fenced[1] if fenced else text).strip()
    if not body.startswith(("{", "[")):
        return
    waiting = _loaded(body) or [each for part in _FLAT.findall(body) for each in _loaded(part)][::-1]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        elif isinstance(item, dict):
            waiting += reversed(list(item.values()))
            yield from _entry(item)


def _loaded(text: str) -> list[Any]:
    """The value of a JSON text, in a list; none if it is not JSON."""
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        return []


def _entry(item: dict[str, Any]) -> Iterator[Mark]:
    label = item.get("label")
    image, frame = (
        value if isinstance(value, int) and _is_number(value) and value >= 0 else None
        for value in (item.get("image"), item.get("frame"))
    )
    time = item.get("time")
    for name in ("box", "bbox_2d", "bbox", "point", "point_2d"):
        numbers = item.get(name)
        if isinstance(numbers, list) and all(_is_number(number) for number in numbers):
            shape = shape_of(numbers)
            if shape is not None and len(shape) == (2 if name.startswith("point") else 4):
                clock = time if _is_number(time) else None
                text = label.encode(errors="replace").decode() if isinstance(label, str) else ""  # no lone surrogate
                yield Mark(text, shape, None, frame, clock, image)
                return


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6

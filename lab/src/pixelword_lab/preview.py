"""A page to look at: tasks of every family and split, with questions, answers and the boxes that answers rest on.

One HTML file without any network. A box on an image has the number of the question whose answer rests on it; a box
that an answer names is dashed, so that an error stands out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pixelword.errors import AssetError
from pixelword.processing.media_io import data_url
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Question
from pixelword.utils.files import atomic_write
from pixelword_lab.family import Family, Task, draw, family

_HERE = Path(__file__).parent
_FRAMES = 8  # of a clip, at most
_ANSWERED = re.compile(r"\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]")


def write_preview(path: Path, names: Sequence[str], assets: Assets, *, count: int = 6, seed: int = 0) -> int:
    """Write the page; returns its bytes.

    count: tasks of each family and split, numbers `seed` to `seed + count - 1` of each.
    Raises InputError: an unknown family, or the page cannot be written. A family whose packs are missing says so on
    the page; AssetError when that is so of all.
    """
    sections = [_section(family(name), assets, count, seed) for name in names]
    if all(section["missing"] for section in sections):
        raise AssetError("; ".join(section["missing"] for section in sections))
    return atomic_write(path, page(sections))


def page(sections: Sequence[Mapping[str, Any]]) -> str:
    """The page as HTML."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    style = (_HERE / "preview.css").read_text(encoding="utf-8")
    return environment.get_template("preview.html.jinja").render(sections=sections, style=style)


def _section(item: Family, assets: Assets, count: int, seed: int) -> dict[str, Any]:
    section: dict[str, Any] = {"name": item.name, "title": item.title, "kinds": [], "cards": [], "missing": ""}
    asked: dict[str, int] = dict.fromkeys(item.kinds, 0)
    try:
        for number in range(seed, seed + count):
            for split in ("train", "test"):
                task = draw(item.name, number, split, assets)
                for question in task.questions:
                    asked[question.kind] = asked.get(question.kind, 0) + 1
                section["cards"].append({"split": split, "number": number, **describe(task, item)})
    except AssetError as error:
        section["missing"] = str(error)
    section["kinds"] = [{"name": kind, "category": item.kinds.get(kind, ""), "count": asked[kind]} for kind in asked]
    return section


def describe(task: Task, item: Family) -> dict[str, Any]:
    """A task as the template reads it; boxes in percent of their image."""
    pictures = [picture for part in task.media for picture in _pictures(part)]
    for number, question in enumerate(task.questions, 1):
        for at, box in question.boxes:
            _mark(pictures, at, number, box, dashed=False)
        if question.metric in ("box", "point") and len(pictures) == 1:
            width, height = pictures[0]["size"]
            for found in _ANSWERED.findall(question.answer):
                x1, y1, x2, y2 = (int(side) / 1000 for side in found)
                _mark(pictures, 0, number, (x1 * width, y1 * height, x2 * width, y2 * height), dashed=True)
    return {
        # of a clip's frames those with a box are shown, and some between
        "pictures": _chosen(pictures) if len(pictures) > _FRAMES else pictures,
        "clip": any(part["type"] == "video" for part in task.media),
        "questions": [_question(question, item) for question in task.questions],
        "assets": task.assets,
    }


def _question(question: Question, item: Family) -> dict[str, Any]:
    metric = question.metric
    if question.tolerance:
        metric = f"{metric} ±{question.tolerance:.0%}"  # type: ignore[assignment]
    return {
        "kind": question.kind,
        "category": item.kinds.get(question.kind, ""),
        "question": question.question,
        "answer": question.answer,
        "metric": metric,
        "chance": f"{question.chance:.0%}" if question.choices else "",
        "choices": " · ".join(question.choices),
        "absent": question.absent,
    }


def _mark(pictures: list[dict[str, Any]], at: int, number: int, box: Sequence[float], *, dashed: bool) -> None:
    if not 0 <= at < len(pictures):
        raise AssetError(f"question {number} has a box on picture {at}, and there are {len(pictures)}")
    width, height = pictures[at]["size"]
    x1, y1, x2, y2 = box
    place = {"left": x1 / width, "top": y1 / height, "width": (x2 - x1) / width, "height": (y2 - y1) / height}
    shares = {side: round(100 * share, 2) for side, share in place.items()}
    pictures[at]["boxes"].append({**shares, "number": number, "dashed": dashed})


def _pictures(part: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """An image, or all frames of a clip with their times."""
    if part["type"] == "image":
        yield _shown(part["image"], "")
        return
    clip = part["video"]
    for number, frame in enumerate(clip.frames):
        yield _shown(frame, f"{clip.timestamps[number]:.1f} s" if clip.timestamps else "")


def _chosen(pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most _FRAMES of them: those with boxes first, then evenly, in their order."""
    even = [round(place * (len(pictures) - 1) / (_FRAMES - 1)) for place in range(_FRAMES)]
    marked = [number for number, picture in enumerate(pictures) if picture["boxes"]]
    numbers = sorted(list(dict.fromkeys([*marked, *even]))[:_FRAMES])
    return [pictures[number] for number in numbers]


def _shown(picture: Image.Image, label: str) -> dict[str, Any]:
    """The image inside an address, pixel for pixel."""
    address = data_url(picture.convert("RGB"), "WEBP", quality=85)
    return {"src": address, "size": picture.size, "label": label, "boxes": []}

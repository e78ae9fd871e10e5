"""The report as an HTML page: every score with interval and controls, and the hardest failures with images.

The file is self-contained, including images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pixelword.evaluation import tables
from pixelword.evaluation.report import Failure
from pixelword.evaluation.scores import boxes
from pixelword.processing.images import load_image
from pixelword.processing.media_io import data_url
from pixelword.processing.videos import Video, frame_label, frames_to_video, load_video
from pixelword.utils.files import atomic_write

#: Longest side of an image on the page, and of a frame of a clip; frames of a clip that are shown.
_SIDE, _FRAME, _FRAMES = 420, 140, 6
_HERE = Path(__file__).parent


def write(folder: Path, report: Mapping[str, Any], failures: Mapping[str, Sequence[Failure]]) -> None:
    """Write `report.json` and `report.html` atomically. Raises InputError if they cannot be written."""
    atomic_write(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    atomic_write(folder / "report.html", html(report, failures))


def html(report: Mapping[str, Any], failures: Mapping[str, Sequence[Failure]]) -> str:
    """Render the page. `report`: from `Summary.finished`."""
    from jinja2 import Environment, FileSystemLoader

    template = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return template.get_template("report.html.jinja").render(
        report=report,
        sections=list(tables.sections(report)),
        tests={test["name"]: test for test in report["tests"]},
        cells=tables.cells,
        peers=tables.peers_of,
        language=tables.language(report),
        matched=tables.matched,
        columns=tables.MATCHED,
        retrieval=tables.RETRIEVAL,
        failures={name: [_told(item) for item in found] for name, found in failures.items() if found},
        style=(_HERE / "report.css").read_text(encoding="utf-8"),
    )


def _told(failure: Failure) -> dict[str, Any]:
    """Convert a failure for the template; boxes relative to the image."""
    item, question = failure.item, failure.item.question
    is_box = question.metric in ("box", "point")
    return {
        "kind": question.kind,
        "key": item.key,
        "question": question.question,
        "right": " / ".join(item.accepted),
        "answer": failure.answer or "(nothing)",
        "sure": failure.sure,
        "pictures": [picture for part in item.media for picture in _pictures(part)],
        "true_boxes": [_percent(box) for box in boxes(question.answer)] if is_box else [],
        "given_boxes": [_percent(box) for box in boxes(failure.answer)] if is_box else [],
    }


def _percent(box: Sequence[float]) -> dict[str, float]:
    """Convert a box in thousandths to left, top, width and height in percent, clipped to the image."""
    x1, y1, x2, y2 = (min(max(side / 10, 0.0), 100.0) for side in box)
    return {"left": x1, "top": y1, "width": max(x2 - x1, 0.0), "height": max(y2 - y1, 0.0)}


def _pictures(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an image, or some frames of a clip with timestamps."""
    if part["type"] == "image":
        return [{**_shown(load_image(part.get("image", part.get("base64"))), _SIDE), "label": ""}]
    clip = part.get("video", part.get("base64"))
    if isinstance(clip, list):
        clip = frames_to_video([load_image(frame) for frame in clip])
    elif not isinstance(clip, Video):
        clip = load_video(clip, max_frames=_FRAMES)
    count = min(_FRAMES, len(clip.frames))
    frame_indices = [round(place * (len(clip.frames) - 1) / max(count - 1, 1)) for place in range(count)]
    labels = [frame_label(clip.timestamps[item]).rstrip(":") if clip.timestamps else "" for item in frame_indices]
    return [
        {**_shown(clip.frames[item], _FRAME), "label": label} for item, label in zip(frame_indices, labels, strict=True)
    ]


def _shown(picture: Image.Image, side: int) -> dict[str, Any]:
    """Encode an image of at most `side` pixels as a data: URL; the browser enlarges small ones."""
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    return {"src": data_url(small, "WEBP", quality=82), "width": picture.width, "height": picture.height}

"""Renders an explanation as an HTML page: maps over the images by layer and head, with their scores.

The file is self-contained. It draws plain data (`page_data`), which the server's page gets as JSON for the same script.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from pixelword.explain.faithfulness import METHODS
from pixelword.explain.types import Evidence
from pixelword.processing.media_io import data_url
from pixelword.utils.files import atomic_write

if TYPE_CHECKING:
    from pixelword.explain.faithfulness import Faithfulness
    from pixelword.explain.trace import Seen

#: The page's files; the server hands the scripts and the style to its own page.
LOOK = Path(__file__).parent / "look"
#: Numbers of one array on the page, at most: above it single heads are left out, or whole maps.
MOST = 6_000_000


def save_html(evidence: Evidence, path: str | Path, model: str = "") -> int:
    """Write the page atomically; return its size in bytes. Raises InputError if it cannot be written."""
    return atomic_write(Path(path), html(page_data(evidence, model)))


def html(data: dict[str, Any]) -> str:
    """Render the page from `page_data`."""
    from jinja2 import Environment, FileSystemLoader

    template = Environment(loader=FileSystemLoader(LOOK), autoescape=True).get_template("page.html.jinja")
    style = (LOOK / "look.css").read_text(encoding="utf-8")
    return template.render(title=data["question"], data=data, style=style, script=_script())


def _script() -> str:
    """Concatenate the modules into one script, without their imports of each other."""
    modules = ((LOOK / f"{name}.js").read_text(encoding="utf-8") for name in ("draw", "trust", "look"))
    lines = "\n".join(modules).splitlines()
    return "\n".join(line for line in lines if not line.startswith("import "))


def page_data(evidence: Evidence, model: str) -> dict[str, Any]:
    """Convert an explanation to JSON data for the page's script."""
    reading, maps = evidence.reading, evidence.maps
    visual = reading.visual.nonzero()[:, 0].cpu()
    weights, parts = _bounded(maps.weights, 2), _bounded(maps.parts - maps.parts.mean(-1, keepdim=True), 3)
    first, pictures = 0, []
    for picture in reading.pictures:
        pictures.append(_picture(picture, first))
        first += len(picture.tokens)
    return {
        "model": model,
        "question": evidence.question,
        "answer": evidence.answer,
        "words": [{"text": word.text, "place": word.place, "chance": word.chance} for word in reading.words],
        "pieces": list(reading.pieces),
        "visual": visual.tolist(),
        "pictures": pictures,
        "layers": maps.weights.shape[1],
        "before": reading.model.config.get_text_config().extra_num_layers,
        "heads": maps.weights.shape[2],
        "weights": packed(weights),
        "parts": packed(parts, signed=True),
        "rollout": packed(maps.rollout),
        "gradient": packed(maps.gradient),
        "occlusion": None
        if evidence.occlusion is None
        else packed(evidence.occlusion.over_tokens(len(visual)), signed=True),
        "stages": [[name, packed(item)] for name, item in maps.stages.items() if item.numel() <= MOST],
        "frames": [[name, item.tolist()] for name, item in maps.frames.items()],
        "trust": None if evidence.faithfulness is None else _trust(evidence.faithfulness),
    }


def packed(values: Tensor, *, signed: bool = False) -> dict[str, Any]:
    """Rows of the last axis as bytes with a scale each: value = scale * (byte / 255)^2, or scale * (byte - 128) / 127.

    Squares, because most attention is small: 0.1 % of a row's largest weight still has a byte of its own.
    """
    rows = values.detach().float().flatten(0, -2).numpy()
    scale = np.abs(rows).max(1, initial=0.0)
    share = rows / np.where(scale > 0, scale, 1)[:, None]
    small = np.rint(share * 127 + 128) if signed else np.rint(np.sqrt(share.clip(0)) * 255)
    return {
        "shape": list(values.shape),
        "signed": signed,
        "scale": [float(f"{item:.6g}") for item in scale],
        "bytes": base64.b64encode(small.astype(np.uint8).tobytes()).decode("ascii"),
    }


def _bounded(values: Tensor, heads: int) -> Tensor:
    """Average over heads if the array would make the page too large."""
    return values if values.numel() <= MOST else values.mean(heads, keepdim=True)


def _picture(seen: Seen, first: int) -> dict[str, Any]:
    """first: the number of its first token among all visual tokens."""
    return {
        "start": seen.start, "first": first, "rows": seen.rows, "columns": seen.columns, "label": seen.label,
        "width": seen.pixels.shape[1], "height": seen.pixels.shape[0],
        "src": data_url(Image.fromarray(seen.pixels), "WEBP", quality=88),
    }  # fmt: skip


def _trust(faithfulness: Faithfulness) -> dict[str, Any]:
    names = {**METHODS, "chance": "any order", "occlusion": "occlusion itself"}
    return {
        "matter": faithfulness.matter,
        "cells": faithfulness.cells,
        "hidden": faithfulness.hidden,
        "checks": [{"name": name, "title": title, **vars(faithfulness.checks[name])} for name, title in names.items()],
    }

"""Baselines to compare with: an OCR engine, and language models without images."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from pixelword.errors import InputError
from pixelword.evaluation.batch_generate import NEW_TOKENS, Asker, Said
from pixelword.evaluation.runner import Peer
from pixelword.evaluation.types import Item
from pixelword.extras import install_command
from pixelword.generation.session import load

RAPIDOCR = "rapidocr"
#: Of the height of a box, what is left around it when a line is cut out.
_MARGIN = 0.1


def named(names: Sequence[str], *, device: str | None = None) -> list[Peer]:
    """Return baselines by name: "rapidocr", or models by name or folder. Raises what `load` raises."""
    return [RapidOCR() if name == RAPIDOCR else Blind(name, device) for name in names]


class RapidOCR:
    """PP-OCR's detector and recogniser, for questions answered by text in one image.

    It cannot read questions, so it gets crops of the relevant lines; its detector, which crops mislead, is used only if
    no lines are known.
    """

    name = RAPIDOCR

    def __init__(self) -> None:
        try:
            engine = import_module("rapidocr_onnxruntime").RapidOCR
        except ImportError as error:
            raise InputError(f"--peer rapidocr needs its package: {install_command('eval')}") from error
        self._engine = engine(intra_op_num_threads=1)

    def answer(self, item: Item) -> Said | None:
        pictures = [part["image"] for part in item.media if part["type"] == "image"]
        if item.question.metric != "words" or len(pictures) != 1 or len(item.media) != 1:
            return None
        picture = pictures[0]
        places = [box for number, box in item.question.boxes if number == 0]
        read = [self._line(_cut(picture, box)) for box in places] or [self._page(picture.convert("RGB"))]
        words = " ".join(line for line, _ in read if line)
        return Said(words, float(np.mean([sure for _, sure in read])))

    def _line(self, picture: Image.Image) -> tuple[str, float]:
        """Read an image of one line; return its text and confidence."""
        found, _ = self._engine(_bgr(picture), use_det=False, use_cls=False, use_rec=True)
        return (str(found[0][0]), float(found[0][1])) if found else ("", 0.0)

    def _page(self, picture: Image.Image) -> tuple[str, float]:
        """Read the text of any image, in reading order."""
        found, _ = self._engine(_bgr(picture))
        lines: list[Any] = sorted(found or (), key=lambda item: (round(item[0][0][1] / 10), item[0][0][0]))
        return " ".join(words for _, words, _ in lines), float(np.mean([float(s) for *_, s in lines])) if lines else 0.0


def _bgr(picture: Image.Image) -> np.ndarray:
    """Convert to BGR (H, W, 3) uint8 for the OCR engine."""
    return np.asarray(picture)[:, :, ::-1]


def _cut(picture: Image.Image, box: Sequence[float]) -> Image.Image:
    x1, y1, x2, y2 = box
    edge = _MARGIN * (y2 - y1)
    cut = picture.crop((
        max(0, round(x1 - edge)), max(0, round(y1 - edge)),
        min(picture.width, round(x2 + edge)), min(picture.height, round(y2 + edge)),
    ))  # fmt: skip
    return cut.convert("RGB")


class Blind:
    """A language model (any checkpoint of ours) that gets the question without images."""

    def __init__(self, name: str, device: str | None = None) -> None:
        self.name = f"{name}, blind"
        self._asker = Asker(load(name, device=device))

    def answer(self, item: Item) -> Said | None:
        encoded = self._asker.encoded(item.messages(()), NEW_TOKENS)
        return Said("", 0.0, encoded) if isinstance(encoded, str) else self._asker.answers([encoded], NEW_TOKENS)[0]

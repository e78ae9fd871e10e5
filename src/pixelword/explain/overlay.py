"""Paints maps over their images without a browser, in the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from pixelword.errors import InputError
from pixelword.explain.faithfulness import METHODS, by_method
from pixelword.explain.types import Evidence

if TYPE_CHECKING:
    from pixelword.explain.trace import Seen

#: What can be painted, and what it is called.
PAINTED = {**METHODS, "occlusion": "occlusion"}
#: Stops of the colours: a share, red, green, blue, and how much of the image they cover. As in `look/draw.js`: what
#: is looked at stays bright and warm, the rest goes dark.
HEAT = ((0, 13, 16, 44, 0.6), (0.3, 92, 26, 118, 0.46), (0.65, 232, 92, 48, 0.34), (1, 255, 214, 64, 0.2))
#: Images or frames that are painted, at most: those with most of the map.
MOST = 12


@dataclass(frozen=True)
class Painted:
    """The map of one answer token, or of the whole answer, over the images.

    text: the word, or "whole answer"; "" for the images with nothing over them. strongest: its map's largest value.
    hottest: the value of the hottest colour. images: each image or frame that is shown.
    """

    text: str
    strongest: float
    hottest: float
    images: tuple[Image.Image, ...]


def painted(evidence: Evidence, method: str) -> tuple[tuple[Seen, ...], tuple[Painted, ...]]:
    """Return the frames shown and their panels: original, whole-answer heatmap, one heatmap per token.

    Each token's strongest patch gets the hottest colour; under occlusion, whose values compare across tokens, the
    overall strongest does. A one-token answer is not shown twice.

    Raises InputError: unknown method, no image, or the occlusion map without hidden cells.
    """
    values = _map(evidence, method).double().numpy()
    pictures = evidence.reading.pictures
    starts = np.cumsum([0, *(len(picture.tokens) for picture in pictures)])
    spans = [slice(a, b) for a, b in pairwise(starts)]
    whole = values.mean(0)
    most_first = sorted(range(len(pictures)), key=lambda n: -whole[spans[n]].clip(0).sum())
    indices = sorted(most_first[:MOST])
    side = _side(len(indices), len(values))
    shared = float(abs(values).max()) if method == "occlusion" else None

    def panel(text: str, row: np.ndarray) -> Painted:
        hottest = float(row.max()) if shared is None else shared
        images = (paint(pictures[n], row[spans[n]], hottest, side) for n in indices)
        return Painted(text, max(0.0, float(row.max())), hottest, tuple(images))

    rows = [("whole answer", whole)] if len(values) > 1 else []
    rows += [(named(word.text), row) for word, row in zip(evidence.reading.words, values, strict=True)]
    seen = tuple(pictures[n] for n in indices)
    bare = Painted("", 0.0, 0.0, tuple(paint(item, None, 0.0, side) for item in seen))
    return seen, (bare, *(panel(text, row) for text, row in rows))


def _map(evidence: Evidence, method: str) -> Tensor:
    """Return the map over the visual tokens, (N, V)."""
    if method not in PAINTED:
        raise InputError(f"unknown method {method!r}: use one of {', '.join(PAINTED)}")
    if not evidence.reading.pictures:
        raise InputError("the prompt has no image to paint a map over; the page shows maps of the text")
    visual = evidence.reading.visual.cpu()
    if method != "occlusion":
        return by_method(evidence.maps, visual)[method]
    if evidence.occlusion is None:
        raise InputError("the occlusion map needs occlusions: explain again with occlusions=144, for example")
    return evidence.occlusion.over_tokens(int(visual.sum()))


def named(word: str) -> str:
    """Format a token as a caption, with names for white space."""
    return " ".join(word.split()) or ("space" if set(word) <= {" "} else repr(word)[1:-1])


def heat(shares: np.ndarray) -> np.ndarray:
    """Shares (...), -1 to 1, as (..., 4): red, green, blue of 255, and the cover; below 0 (hiding it helps) is blue."""
    stops = np.array(HEAT)
    warm = np.stack([np.interp(shares, stops[:, 0], stop) for stop in stops[:, 1:].T], -1)
    below = -shares.clip(-1, 0)
    cold = np.stack([13 + 30 * below, 16 + 110 * below, 44 + 200 * below, np.full_like(below, 0.6)], -1)
    return np.where((shares < 0)[..., None], cold, warm)


def paint(seen: Seen, values: Sequence[float] | np.ndarray | None, hottest: float, side: int) -> Image.Image:
    """Scale an image to about `side` pixels, overlaid with the map of its visual tokens, if any.

    Patches are squares of whole pixels, and small images are enlarged without blurring.
    """
    pixels = seen.pixels.shape[1] // seen.columns
    patch = max(1, round(side / max(seen.rows, seen.columns)))
    if patch > pixels:
        patch -= patch % pixels
    size = (patch * seen.columns, patch * seen.rows)
    way = Image.Resampling.NEAREST if patch >= pixels else Image.Resampling.LANCZOS
    image = Image.fromarray(seen.pixels).resize(size, way)
    if values is None:
        return image
    shares = np.asarray(values, dtype=float).reshape(seen.rows, seen.columns) / (hottest or 1)
    over = heat(shares).repeat(patch, 0).repeat(patch, 1)
    cover = over[..., 3:]
    return Image.fromarray(np.rint(np.asarray(image) * (1 - cover) + over[..., :3] * cover).astype(np.uint8))


def _side(pictures: int, words: int) -> int:
    """Return the display size per image that keeps a sheet of all images for all tokens readable."""
    if pictures == 1:
        return 320 if words <= 8 else 208
    return 224 if pictures <= 4 else 160 if pictures <= 8 else 128

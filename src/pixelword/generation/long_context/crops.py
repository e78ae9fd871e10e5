"""Images larger than a model reads: an overview, then the parts that a first pass looks at, at full size.

The first pass reads the overview and asks where the words of the question look. Windows with most of that attention
follow the overview as images of their own, in the form that several images have anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pixelword.generation.long_context.incremental_prefill import IncrementalPrefill
from pixelword.processing.chat import Picture, segments
from pixelword.processing.images import load_image, to_rgb
from pixelword.processing.resize import shared_max_pixels
from pixelword.processing.types import Cutout

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.options import MediaOptions
    from pixelword.processing.processor import NeoOVProcessor

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Crop:
    """A part of image number `image` of a conversation: (left, top, right, bottom) in its pixels."""

    image: int
    box: Box


def with_crops(
    model: NeoOVForConditionalGeneration,
    processor: NeoOVProcessor,
    messages: Sequence[Mapping[str, Any]],
    media: MediaOptions,
    count: int,
) -> tuple[list[dict[str, Any]], list[Crop]]:
    """The conversation with `count` crops after the images that they are of, and the crops.

    As it was, and none, where no image is larger than what the model would be shown of it.
    """
    images = [
        load_image(segment.source, limits=media.limits, allow_urls=media.allow_urls, allow_files=media.allow_files)
        for segment in segments(messages)
        if isinstance(segment, Picture)
    ]
    low, high = processor.image_processor.budget(media.min_pixels, media.max_pixels)
    shown_at = shared_max_pixels(len(images), min_pixels=low, max_pixels=high)
    large = [image.width * image.height > shown_at for image in images]
    if not any(large) or not count:
        return [dict(message) for message in messages], []
    heat = attention_maps(model, processor, _replaced(messages, images, {}), media)
    share = shared_max_pixels(len(images) + count, min_pixels=low, max_pixels=high)
    crops = select_crops(
        heat, [image.size if big else (0, 0) for image, big in zip(images, large, strict=True)], share, count
    )
    shown: dict[int, list[Cutout]] = {}
    for crop in crops:
        shown.setdefault(crop.image, []).append(Cutout(to_rgb(images[crop.image]), crop.box))
    return _replaced(messages, images, shown), crops


def _replaced(
    messages: Sequence[Mapping[str, Any]], images: Sequence[Image.Image], crops: Mapping[int, Sequence[Cutout]]
) -> list[dict[str, Any]]:
    """The messages with their images decoded, each followed by its crops."""
    number, made = 0, []
    for message in messages:
        if isinstance(message["content"], str):
            made.append(dict(message))
            continue
        parts: list[Any] = []
        for part in message["content"]:
            if part["type"] not in ("image", "image_url"):
                parts.append(part)
                continue
            shown = [images[number], *crops.get(number, ())]
            parts += [{"type": "image", "image": image} for image in shown]
            number += 1
        made.append({**message, "content": parts})
    return made


def attention_maps(
    model: NeoOVForConditionalGeneration,
    processor: NeoOVProcessor,
    messages: Sequence[Mapping[str, Any]],
    media: MediaOptions,
) -> list[np.ndarray]:
    """For each image, (rows, columns): the attention that the words after the last image give its visual tokens."""
    prompt = processor.encode(messages, add_generation_prompt=True, media=media)
    merge = processor.image_processor.merge_size
    end = prompt.images[-1].stop
    reader = IncrementalPrefill(model, prompt)
    reader.read(0, end)
    looked = reader.attention(end, len(prompt)).numpy()
    still = [image for image in prompt.images if image.video is None]
    return [looked[image.tokens].reshape([side // merge for side in image.grid_hw]) for image in still]


def select_crops(heat: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], pixels: int, count: int) -> list[Crop]:
    """The `count` windows of about `pixels` pixels with the most attention; no place counts for two of them.

    heat: of each image (rows, columns). sizes: (width, height) of each; (0, 0) for one that is not cut.
    """
    left = [np.array(each, np.float64) for each in heat]
    found: list[Crop] = []
    for _ in range(count):
        best: tuple[float, Crop, tuple[slice, slice]] | None = None
        for number, (own, (width, height)) in enumerate(zip(left, sizes, strict=True)):
            if not width:
                continue
            rows, columns = _window(own.shape, width, height, pixels)
            sums = _sums(own, rows, columns)
            row, column = np.unravel_index(int(sums.argmax()), sums.shape)
            if sums[row, column] > 0 and (best is None or sums[row, column] > best[0]):
                box = _box(own.shape, (int(row), int(column), rows, columns), (width, height))
                place = slice(int(row), int(row) + rows), slice(int(column), int(column) + columns)
                best = float(sums[row, column]), Crop(number, box), place
        if best is None:
            break
        found.append(best[1])
        left[best[1].image][best[2]] = 0
    return sorted(found, key=lambda crop: (crop.image, crop.box[1], crop.box[0]))


def _window(shape: tuple[int, ...], width: int, height: int, pixels: int) -> tuple[int, int]:
    """Rows and columns of the map that a window of this many of the image's own pixels covers."""
    part = min(1.0, (pixels / (width * height)) ** 0.5)
    return tuple(min(side, max(1, round(side * part))) for side in shape)


def _sums(heat: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Of every window of this size the sum: (R - rows + 1, C - columns + 1)."""
    total = np.pad(heat, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]


def _box(shape: tuple[int, ...], window: tuple[int, int, int, int], size: tuple[int, int]) -> Box:
    """A window of the map (row, column, rows, columns) in the image's pixels."""
    row, column, rows, columns = window
    (high, wide), (width, height) = shape, size
    return (
        round(column * width / wide), round(row * height / high),
        round((column + columns) * width / wide), round((row + rows) * height / high),
    )  # fmt: skip

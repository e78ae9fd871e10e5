"""Spans say which tokens and patches are each image's, which video a frame is of, and when it was taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelword.errors import InputError
from pixelword.processing import Encoded, ImageSpan, NeoOVProcessor, Video
from pixelword.processing.collating import truncated
from pixelword.processing.images import unpatchify
from pixelword.processing.tokenizer import IMG_END, IMG_START
from pixelword.processing.videos import frame_label
from pixelword.serving.workers import from_bytes, to_bytes

SIDES = st.tuples(st.integers(8, 150), st.integers(8, 150))
TIMES = st.lists(st.floats(0, 4000, allow_nan=False), min_size=1, max_size=4).map(sorted)
IMAGE = st.builds(lambda size: ("image", size, None), SIDES)
VIDEO = st.builds(lambda size, times, timed: ("video", size, (times, timed)), SIDES, TIMES, st.booleans())
WORDS = st.sampled_from(["what is it?", "[00:01.00]:", "<img>", " ", "the red one\n", "[00:02.00]:<image>"])
TURNS = st.lists(st.lists(IMAGE | VIDEO | WORDS, min_size=1, max_size=4), min_size=1, max_size=3)


@dataclass(frozen=True)
class Shown:
    """What a span must say: the colour of its pixels, its video and its time."""

    colour: tuple[int, int, int]
    video: int | None = None
    timestamp: float | None = None


def conversation(turns: list[list[Any]]) -> tuple[list[dict[str, Any]], list[Shown]]:
    """Messages whose images and frames have a colour each, and what is shown in order."""
    messages: list[dict[str, Any]] = []
    shown: list[Shown] = []
    videos = count()

    def image(size: tuple[int, int], video: int | None = None, timestamp: float | None = None) -> Image.Image:
        number = len(shown)
        shown.append(Shown((number * 37 % 256, number * 91 % 256, 255 - number), video, timestamp))
        return Image.new("RGB", size, shown[-1].colour)

    for parts in turns:
        content: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            elif part[0] == "image":
                content.append({"type": "image", "image": image(part[1])})
            else:
                times, timed = part[2]
                number = next(videos)
                frames = tuple(image(part[1], number, time if timed else None) for time in times)
                clip = Video(frames, tuple(times) if timed else (), times[-1] + 1)
                content.append({"type": "video", "video": clip})
        messages += [{"role": "user", "content": content}, {"role": "assistant", "content": "It is red."}]
    return messages, shown


def check(encoded: Encoded, shown: list[Shown], processor: NeoOVProcessor) -> None:
    control, images = processor.encoder.control, processor.image_processor
    types = torch.zeros_like(encoded.mm_token_type_ids)
    patches = 0
    assert [(span.video, span.timestamp) for span in encoded.images] == [(item.video, item.timestamp) for item in shown]
    for span, item in zip(encoded.images, shown, strict=True):
        assert bool((encoded.input_ids[span.tokens] == processor.image_token_id).all())
        assert int(encoded.input_ids[span.start - 1]) == control[IMG_START]
        assert int(encoded.input_ids[span.stop]) == control[IMG_END]
        assert span.first_patch == patches and len(span) * images.merge_size**2 == np.prod(span.grid_hw)
        patches = span.patches.stop
        types[span.tokens] = 1 if span.video is None else 2
        cells = encoded.pixel_values[span.patches].numpy()
        pixels = unpatchify(cells, span.grid_hw, images.patch_size, mean=images.image_mean, std=images.image_std)
        assert int(np.abs(pixels.astype(int) - item.colour).max()) <= 1
        if span.timestamp is not None:
            before = processor.tokenizer.decode(encoded.input_ids[: span.start - 1])
            assert before.endswith(frame_label(span.timestamp))
    assert torch.equal(types, encoded.mm_token_type_ids)
    assert patches == len(encoded.pixel_values)
    assert [list(span.grid_hw) for span in encoded.images] == encoded.image_grid_hw.tolist()
    assert encoded.visual_tokens == int((encoded.input_ids == processor.image_token_id).sum())


@settings(max_examples=40, deadline=None)
@given(TURNS)
def test_spans_of_any_conversation(processor: NeoOVProcessor, turns: list[list[Any]]) -> None:
    messages, shown = conversation(turns)
    encoded = processor.encode(messages)
    check(encoded, shown, processor)
    again = from_bytes(to_bytes(encoded))
    assert again.images == encoded.images and torch.equal(again.input_ids, encoded.input_ids)


@settings(max_examples=40, deadline=None)
@given(TURNS, st.integers(0, 60), st.sampled_from(["left", "right"]))
def test_spans_follow_a_truncation(processor: NeoOVProcessor, turns: list[list[Any]], cut: int, side: str) -> None:
    messages, shown = conversation(turns)
    encoded = processor.encode(messages)
    limit = max(len(encoded) - cut, 1)
    lost = encoded.input_ids[limit:] if side == "right" else encoded.input_ids[: len(encoded) - limit]
    edges = [processor.encoder.control[IMG_START], processor.encoder.control[IMG_END], processor.image_token_id]
    if bool(torch.isin(lost, torch.tensor(edges)).any()):
        with pytest.raises(InputError, match="cut an image in two"):
            truncated(encoded, limit, side)
    else:
        check(truncated(encoded, limit, side), shown, processor)


def test_spans_that_do_not_fit_are_refused(processor: NeoOVProcessor) -> None:
    image = Image.new("RGB", (64, 64))
    encoded = processor.encode([{"role": "user", "content": [{"type": "image", "image": image}] * 2}])
    item, two = encoded.images
    for images in [(), (item,), (two, item), (item, replace(two, stop=two.start)), (item, two.moved(patches=1))]:
        with pytest.raises(ValueError, match="image spans"):
            replace(encoded, images=images)
    with pytest.raises(ValueError, match="do not fit"):
        replace(encoded, input_ids=encoded.input_ids[: two.stop - 1])
    assert isinstance(item, ImageSpan) and encoded.images_within(0, two.stop - 1) == (item,)

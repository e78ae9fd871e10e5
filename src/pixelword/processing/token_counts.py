"""Token counts of a conversation, computed from the headers of its images only.

`outline` mirrors `NeoOVProcessor.encode` step by step, but only counts; a test keeps them equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from pixelword.errors import MediaError
from pixelword.processing.chat import Clip, Picture, expanded, segments
from pixelword.processing.image_files import open_picture, orientation
from pixelword.processing.images import check_size, is_tensor, load_image
from pixelword.processing.media_io import describe, open_binary, plain
from pixelword.processing.options import MediaOptions
from pixelword.processing.orientation import ON_ITS_SIDE
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.videos import Video, frames_to_video, listed_frames, video_outline

_NO_PICTURE = Image.new("L", (1, 1))  # stands for a frame where only the words around it count


@dataclass(frozen=True)
class Medium:
    """An image, a video frame given as an image, or a video of `count` frames; size in upright pixels."""

    kind: Literal["picture", "frame", "video"]
    height: int
    width: int
    count: int = 1


@dataclass(frozen=True)
class Outline:
    """text_tokens: all tokens but the visual ones; answer_tokens: those with a loss; media in order."""

    text_tokens: int
    answer_tokens: int
    media: tuple[Medium, ...]


def outline(processor: NeoOVProcessor, messages: Sequence[Mapping[str, Any]], options: MediaOptions) -> Outline:
    """Return the outline of `processor.encode(messages, ...)`. Raises `InputError` and `MediaError` like it.

    Images and videos are not decoded, so damage behind their headers is not detected.
    """
    found = segments(messages)
    media: list[Medium] = []
    clips: list[Video] = []
    for segment in found:
        if isinstance(segment, Picture):
            height, width = image_size(segment.source, options)
            media.append(Medium("picture", height, width))
        elif isinstance(segment, Clip):
            clip, seen = _clip(processor, segment, options)
            clips.append(clip)
            media += seen
    text = answer = 0
    for segment in expanded(found, clips):
        if isinstance(segment, Picture):
            text += 2  # <img> and </img>
        else:
            tokens, is_learnt = processor.words(segment)
            text += len(tokens)
            answer += len(tokens) * is_learnt
    return Outline(text, answer, tuple(media))


def image_size(source: Any, options: MediaOptions | None = None) -> tuple[int, int]:
    """Return the height and width of the upright image, from its header. Raises `MediaError`."""
    options = options or MediaOptions()
    source = plain(source)
    if isinstance(source, (Image.Image, np.ndarray)) or is_tensor(source):
        image = load_image(source, limits=options.limits)  # it is decoded already
        return image.height, image.width
    name = describe(source)
    with open_binary(
        source,
        kind="image",
        limits=options.limits,
        allow_urls=options.allow_urls,
        allow_files=options.allow_files,
    ) as file:
        if file.seek(0, 2) > options.limits.max_bytes:
            raise MediaError(f"{name}: more bytes than the limit of {options.limits.max_bytes:,}; shrink the image")
        file.seek(0)
        image = open_picture(file, name)
        width, height = image.size
        check_size(width, height, name, options.limits)
        turned = orientation(image) in ON_ITS_SIDE
    return (width, height) if turned else (height, width)


def _clip(processor: NeoOVProcessor, clip: Clip, options: MediaOptions) -> tuple[Video, list[Medium]]:
    """Return a stand-in video with blank frames and the real labels, and its outline."""
    source = clip.source
    if options.frame_budget is not None:  # which frames are kept, and so their times, depends on their pixels
        source = processor.video(clip, processor.frame_max_pixels, options)
    if isinstance(source, Video):
        return source, [Medium("frame", frame.height, frame.width) for frame in source.frames]
    if isinstance(source, (list, tuple)):
        sizes = [image_size(item, options) for item in listed_frames(source, options.limits)]
        blank = frames_to_video([_NO_PICTURE] * len(sizes), processor.given_rate(clip, options))
        return blank, [Medium("frame", *size) for size in sizes]
    seen = video_outline(
        source,
        **processor.sampling(clip, options),
        limits=options.limits,
        allow_urls=options.allow_urls,
        allow_files=options.allow_files,
    )
    blank = Video((_NO_PICTURE,) * seen.frames, seen.timestamps, seen.duration)
    return blank, [Medium("video", seen.height, seen.width, seen.frames)]

"""What a conversation will cost, from the headers of its pictures alone.

`outline` follows `NeoOVProcessor.encode` step by step and counts where that one builds; a test holds them equal.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from PIL import Image

from pixelword.errors import MediaError
from pixelword.processing.conversation import Clip, Picture, expanded, segments
from pixelword.processing.images import DECODE_ERRORS, check_size, load_image, open_picture
from pixelword.processing.options import MediaOptions
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.sources import FilePiece, describe, open_binary
from pixelword.processing.videos import Video, frames_to_video, video_outline

_ORIENTATION = 0x0112  # EXIF; from 5 on the picture lies on its side
_ON_ITS_SIDE = (5, 6, 7, 8)
_PNG_START = 8
_ENCODED = (str, os.PathLike, bytes, bytearray, memoryview, FilePiece)
_NO_PICTURE = Image.new("L", (1, 1))  # stands for a frame where only the words around it count


@dataclass(frozen=True)
class Medium:
    """A picture, a frame of a video given as a picture, or a video of `count` frames; upright pixels."""

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
    """The outline of what `processor.encode(messages, ...)` would give. Raises `InputError` and `MediaError` like it.

    Pictures and videos are not decoded, so that damage behind their headers goes unseen.
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
    """Height and width of the upright picture that `load_image` would give, from its header. Raises `MediaError`."""
    options = options or MediaOptions()
    if not isinstance(source, _ENCODED):
        image = load_image(source, limits=options.limits)  # it is decoded already
        return image.height, image.width
    name = describe(source)
    with open_binary(
        source,
        kind="picture",
        limits=options.limits,
        allow_urls=options.allow_urls,
        allow_files=options.allow_files,
    ) as file:
        if file.seek(0, 2) > options.limits.max_bytes:
            raise MediaError(f"{name}: more bytes than the limit of {options.limits.max_bytes:,}; shrink the picture")
        file.seek(0)
        with open_picture(file, name) as image:
            width, height = image.size
            check_size(width, height, name, options.limits)
            try:
                turned = _orientation(image, file) in _ON_ITS_SIDE
            except (*DECODE_ERRORS, struct.error) as error:
                raise MediaError(f"{name}: the picture is damaged or cut off ({error}); give a whole file") from error
    return (width, height) if turned else (height, width)


def _orientation(image: Image.Image, file: BinaryIO) -> int:
    if image.format == "TIFF":  # its size is upright already
        return 1
    if image.format == "PNG" and "exif" not in image.info and not _speaks_after_pixels(file):
        return 1  # asking a PNG for what is not at its start decodes it
    return image.getexif().get(_ORIENTATION, 1)


def _speaks_after_pixels(file: BinaryIO) -> bool:
    """Whether a PNG has chunks that may hold EXIF; its own or, as text, ImageMagick's."""
    file.seek(_PNG_START)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            return True
        file.seek(length + 4, 1)
    return False


def _clip(processor: NeoOVProcessor, clip: Clip, options: MediaOptions) -> tuple[Video, list[Medium]]:
    """A video with blank frames, around which the words are the real one's, and what it is made of."""
    source = clip.source
    if options.frame_budget is not None:  # which frames are kept, and so their times, only their pixels tell
        source = processor.video(clip, processor.frame_max_pixels, options)
    if isinstance(source, Video):
        return source, [Medium("frame", frame.height, frame.width) for frame in source.frames]
    if isinstance(source, (list, tuple)):
        sizes = [image_size(one, options) for one in processor.listed_frames(source, options)]
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

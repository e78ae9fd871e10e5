"""Prompts of benchmark questions, as in the authors' released evaluation."""

from __future__ import annotations

import string
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from PIL import Image

from pixelword.evaluation.paper.benchmarks import Benchmark, Prompt, Setting
from pixelword.evaluation.paper.files import Row
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import conversation
from pixelword.processing.images import load_image
from pixelword.processing.options import MediaOptions
from pixelword.processing.videos import FRAME_MAX_PIXELS, Video, load_video

Drawing = Literal["greedy", "upstream"]
Part = dict[str, Any]
#: Tokens of the longest prompt with its answer. Upstream has no bound: 256 frames are 57,600 tokens, at few positions.
MAX_MODEL_LEN = 131_072
#: What upstream draws its answers by, where it does; greedy repeats.
UPSTREAM = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.05}
#: Where a text names a picture: only upstream's own mark is taken out of a text.
_MARK, _NUMBERED = "<image>", "<image 1>"


def messages(row: Row, benchmark: Benchmark) -> list[Part]:
    """Return the conversation up to the answer. Raises MediaError if a video to be read as images is unreadable."""
    return asked(words(row, benchmark), row.media, benchmark)


def asked(text: str, media: Sequence[Part], benchmark: Benchmark, options: MediaOptions | None = None) -> list[Part]:
    """Like `messages`, for a question's text and media.

    media: chat parts; a video may be a list of images, its frames. options: other frames than the benchmark's.
    """
    content = _content(text, media, benchmark, options or benchmark.media())
    return conversation({"role": "user", "content": content}, system=benchmark.setting.system)


def words(row: Row, benchmark: Benchmark) -> str:
    """Return the question's text."""
    prompt = _prompt(row.media, benchmark)
    options = prompt.between.join(
        prompt.option.format(letter=letter, choice=choice)
        for letter, choice in zip(string.ascii_uppercase, row.choices, strict=False)
    )
    question = row.question if prompt.marks else row.question.replace(_MARK, "").strip()
    hint = prompt.hint.format(hint=row.hint) if row.hint else ""
    return (prompt.choices if row.choices else prompt.open).format(hint=hint, question=question, options=options)


def _prompt(media: Sequence[Part], benchmark: Benchmark) -> Prompt:
    video_alone = bool(media) and all(part["type"] == "video" for part in media)
    return benchmark.prompt.video or benchmark.prompt if video_alone else benchmark.prompt


def _content(text: str, media: Sequence[Part], benchmark: Benchmark, options: MediaOptions) -> list[Part]:
    """Order the parts: videos, then text with images; a single image before it, several labelled before or after it."""
    prompt, setting = _prompt(media, benchmark), benchmark.setting
    videos = [part for medium in media if medium["type"] == "video" for part in _video(medium, benchmark, options)]
    pictures = [medium for medium in media if medium["type"] == "image"]
    if benchmark.enlarge > 1 and pictures:
        pictures[0] = _enlarged(pictures[0], benchmark.enlarge)
    if videos:
        return [*videos, *_within(text, pictures)]
    if len(pictures) < 2:
        return [*pictures, _text(text)]
    label = setting.label if prompt.label is None else prompt.label
    if not label:
        return [_text(text), *pictures]
    labelled = _labelled(label, pictures)
    return [*labelled, _text(_marked(text, len(pictures)) if prompt.marks else text)]


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _labelled(label: str, pictures: Sequence[Part]) -> list[Part]:
    return [part for n, item in enumerate(pictures, 1) for part in (_text(label.format(n=n)), item)]


def _marked(text: str, pictures: int) -> str:
    """Insert images where the text has `<Image-n>`; surplus images are left over."""
    pieces = [piece.strip() for piece in text.split(_MARK)]
    return "".join(piece + (f"<Image-{n}>" if n <= pictures else "") for n, piece in enumerate(pieces, 1))


def _within(text: str, pictures: Sequence[Part]) -> list[Part]:
    """Put an image that accompanies a video where the text names it, else before the text."""
    before, mark, after = text.partition(_NUMBERED)
    parts = [_text(before), *pictures, _text(after)] if mark else [*pictures, _text(text)]
    return [part for part in parts if part["type"] != "text" or part["text"].strip()] if pictures else [_text(text)]


def _video(part: Part, benchmark: Benchmark, options: MediaOptions) -> list[Part]:
    """Return a video as is, as frames without timestamps, or as labelled images."""
    if benchmark.timeless:
        return [{"type": "video", "video": replace(_read(part, options), timestamps=())}]
    return framed(part, benchmark.setting.frame_label, options)


def framed(part: Part, label: str, options: MediaOptions) -> list[Part]:
    """Return a video's frames as images with labels, or the video as is without a label.

    A list of images is taken for the frames. Raises MediaError: a video that cannot be read.
    """
    if not label:
        return [part]
    frames = part["video"] if isinstance(part["video"], list) else _read(part, options).frames
    return _labelled(label, [{"type": "image", "image": frame} for frame in frames])


def _read(part: Part, options: MediaOptions) -> Video:
    """Load the video, with the part's frame options, else the call's."""
    frame_options = {name: part.get(name) or getattr(options, name) for name in ("fps", "max_frames", "num_frames")}
    given = {name: value for name, value in frame_options.items() if value is not None}
    return load_video(part["video"], max_pixels=options.max_pixels or FRAME_MAX_PIXELS, **given)


def _enlarged(part: Part, times: int) -> Part:
    picture = load_image(part["image"])
    size = (times * picture.width, times * picture.height)
    return {**part, "image": picture.resize(size, Image.Resampling.BILINEAR)}


def sampling(setting: Setting, drawing: Drawing, key: str, seed: int, room: int) -> Sampling:
    """Sampling of an answer; it depends only on the question's key and the seed.

    room: tokens that the context has left, above which no answer goes.
    """
    drawn: dict[str, Any] = UPSTREAM if drawing == "upstream" and setting.sampled else {}
    return Sampling(
        max(1, min(setting.new_tokens, room)), seed=zlib.crc32(f"{seed} {key}".encode()), logprobs=0, **drawn
    )

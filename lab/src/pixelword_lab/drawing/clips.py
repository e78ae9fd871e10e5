"""Encoded video: images -> the bytes of a file, and back through the same door as a user's file."""

from __future__ import annotations

import io
from collections.abc import Iterable
from random import Random
from typing import Any

import av
from PIL import Image

from pixelword.processing.videos import Video, load_video

#: Codecs with their options: one thread, so that the same images always give the same bytes.
_H264 = ("libx264", {"preset": "superfast", "threads": "1"})
_MPEG4 = ("mpeg4", {"threads": "1"})


def encode(frames: Iterable[Image.Image], fps: int, *, quality: int = 22, codec: str = "h264") -> bytes:
    """An MP4 file.

    frames: RGB images of one size, both sides even. quality: 0 (best) to 51, as H.264 counts; codec: "h264" or
    "mpeg4" (older and coarser).
    """
    file = io.BytesIO()
    name, options = _H264 if codec == "h264" else _MPEG4
    quantizer = {"crf": str(quality)} if codec == "h264" else {"qmin": str(max(1, quality // 6)), "qmax": "8"}
    with av.open(file, "w", format="mp4") as container:
        stream: Any = None  # PyAV's annotation allows for sound and subtitles
        for frame in frames:
            if stream is None:
                stream = container.add_stream(name, rate=fps, options={**options, **quantizer})
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        if stream is not None:
            container.mux(stream.encode())
    return file.getvalue()


def film(rng: Random, frames: Iterable[Image.Image], fps: int, shown_fps: int) -> Video:
    """The frames as a file that is seen `shown_fps` times a second; mostly H.264, of varied quality."""
    codec = "mpeg4" if rng.random() < 0.15 else "h264"
    return load_video(encode(frames, fps, quality=rng.randint(16, 29), codec=codec), fps=shown_fps)

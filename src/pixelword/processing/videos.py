"""Videos: any source -> frames with their real times -> the text that stands around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ..errors import MediaError

FRAME_MAX_PIXELS = 360 * 640


@dataclass(frozen=True)
class Video:
    """Frames of a video.

    frames: upright RGB or RGBA pictures; timestamps: seconds of each frame since the start (empty when unknown: then the
    prompt holds the frames alone); duration: seconds of the whole video.
    """

    frames: tuple[Image.Image, ...]
    timestamps: tuple[float, ...]
    duration: float

    def __post_init__(self) -> None:
        if not self.frames:
            raise MediaError("a video without frames; give at least one frame")
        if self.timestamps and len(self.timestamps) != len(self.frames):
            raise MediaError(
                f"a video of {len(self.frames)} frames with {len(self.timestamps)} timestamps; give one for each, or none"
            )


def frames_to_video(frames: Sequence[Image.Image], fps: float | None = None) -> Video:
    """A video of decoded frames; without `fps` their times are unknown."""
    if fps is None:
        return Video(tuple(frames), (), 0.0)
    if not fps > 0:
        raise MediaError(f"a video of {fps} frames a second; give an fps above 0")
    return Video(tuple(frames), tuple(index / fps for index in range(len(frames))), len(frames) / fps)


def header(frames: int, duration: float) -> str:
    """The line before a video's frames."""
    rate = frames / duration if duration > 0 else float(frames)
    return (
        f"The time range of this video is [00:00-{clock(duration)}], and the following is a series of {frames} frames "
        f"sampled at {rate:.1f} FPS.\n"
    )


def frame_label(seconds: float) -> str:
    """What stands before a frame: `[MM:SS.ss]:`."""
    return f"[{clock(seconds, decimals=True)}]:"


def clock(seconds: float, *, decimals: bool = False) -> str:
    """MM:SS rounded down, or MM:SS.ss; from an hour on H:MM:SS (there is no upstream form for that)."""
    hundredths = round(max(seconds, 0.0) * 100)
    whole = hundredths // 100 if decimals else int(max(seconds, 0.0) + 1e-6)  # 8.9999999 is a 9 that was summed up
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    tail = f".{hundredths % 100:02d}" if decimals else ""
    return f"{hours}:{minutes:02d}:{rest:02d}{tail}" if hours else f"{minutes:02d}:{rest:02d}{tail}"


def load_video(source: Any, **options: Any) -> Video:
    raise MediaError("not yet")

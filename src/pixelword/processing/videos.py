"""Videos: any source -> frames with real timestamps -> the text around them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from PIL import Image

from pixelword.errors import InputError, MediaError
from pixelword.processing.limits import Limits
from pixelword.processing.media_io import describe, open_binary, plain
from pixelword.processing.resize import smart_resize
from pixelword.processing.types import Video
from pixelword.processing.video_file import VideoFile

FRAME_MAX_PIXELS = 360 * 640

# Seconds to the next wanted frame from which on seeking is tried; doubled when a file's key frames are further apart.
SEEK_GAP = Fraction(3)

# A transport stream may land behind the wanted moment: then seconds earlier are tried.
SEEK_STEPS = (Fraction(0), Fraction(5), Fraction(20))

# Time bases are rounded: a frame this little after a moment is on screen at it.
EPSILON = Fraction(1, 1000)


@dataclass(frozen=True)
class VideoOutline:
    """A video without pixels: height and width of its upright frames before shrinking; the rest as in `Video`.

    frames: number of sampled frames.
    """

    height: int
    width: int
    timestamps: tuple[float, ...]
    duration: float

    @property
    def frames(self) -> int:
        return len(self.timestamps)


def listed_frames(frames: Sequence[Any], limits: Limits) -> Sequence[Any]:
    """Return the frames of a video given as images. Raises `InputError` if there are too many."""
    if len(frames) > limits.max_frames:
        raise InputError(f"a video of {len(frames)} frames is over the limit of {limits.max_frames}; give fewer")
    return frames


def frames_to_video(frames: Sequence[Image.Image], fps: float | None = None) -> Video:
    """Make a video of decoded frames; without `fps`, timestamps are unknown."""
    if fps is None:
        return Video(tuple(frames), (), 0.0)
    if not fps > 0:
        raise MediaError(f"a video of {fps} frames a second; give an fps above 0")
    return Video(tuple(frames), tuple(index / fps for index in range(len(frames))), len(frames) / fps)


def header(frames: int, duration: float) -> str:
    """Return the line before a video's frames."""
    rate = frames / duration if duration > 0 else float(frames)
    return (
        f"The time range of this video is [00:00-{clock(duration)}], and the following is a series of {frames} frames "
        f"sampled at {rate:.1f} FPS.\n"
    )


def frame_label(seconds: float) -> str:
    """Return the label before a frame: `[MM:SS.ss]:`."""
    return f"[{clock(seconds, decimals=True)}]:"


def clock(seconds: float, *, decimals: bool = False) -> str:
    """Format MM:SS rounded down, or MM:SS.ss; H:MM:SS from one hour on (upstream has no format for that)."""
    hundredths = round(max(seconds, 0.0) * 100)
    whole = hundredths // 100 if decimals else int(max(seconds, 0.0) + 1e-6)  # 8.9999999 is a 9 that was summed up
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    tail = f".{hundredths % 100:02d}" if decimals else ""
    return f"{hours}:{minutes:02d}:{rest:02d}{tail}" if hours else f"{minutes:02d}:{rest:02d}{tail}"


def load_video(
    source: Any,
    *,
    fps: float = 1.0,
    max_frames: int = 128,
    num_frames: int | None = None,
    max_pixels: int = FRAME_MAX_PIXELS,
    limits: Limits | None = None,
    allow_urls: bool = False,
    allow_files: bool = True,
) -> Video:
    """Load evenly spaced frames of a video (path, bytes, base64 or data URL, or, if allowed, an http(s) URL).

    fps: frames a second, up to `max_frames`, beyond which that many are spread over the whole; num_frames: that many,
    whatever the length. Each is the frame on the screen at that moment, once, with its own time; a video with fewer
    frames gives fewer. Frames above `max_pixels` are shrunk as images are. Of a damaged file the readable part is
    kept, and `duration` is that part's. Raises `InputError` for the numbers, `MediaError` for the file.
    """
    if isinstance(source, Video):
        return source
    sampling = _Sampling(fps, max_frames, num_frames)
    with _opened(source, limits or Limits(), allow_urls=allow_urls, allow_files=allow_files) as reader:
        return reader.read(sampling.targets(reader), max_pixels)


def video_outline(
    source: Any,
    *,
    fps: float = 1.0,
    max_frames: int = 128,
    num_frames: int | None = None,
    limits: Limits | None = None,
    allow_urls: bool = False,
    allow_files: bool = True,
) -> VideoOutline:
    """Return what `load_video` would load, without pixels; only the first frame is decoded.

    Undecodable frames are counted too. Raises what `load_video` raises.
    """
    sampling = _Sampling(fps, max_frames, num_frames)
    limits = limits or Limits()
    with _opened(source, limits, allow_urls=allow_urls, allow_files=allow_files) as reader:
        height, width = reader.frame_size()
        timestamps, duration = reader.times(sampling.targets(reader))
    return VideoOutline(height, width, timestamps, duration)


@contextmanager
def _opened(source: Any, limits: Limits, *, allow_urls: bool, allow_files: bool) -> Iterator[_Reader]:
    name = describe(plain(source))
    with open_binary(source, kind="video", limits=limits, allow_urls=allow_urls, allow_files=allow_files) as binary:
        file = VideoFile(binary, name, limits)
        try:
            yield _Reader(file)
        finally:
            file.close()


@dataclass(frozen=True)
class _Sampling:
    """Sampling of a video's frames; see `load_video`."""

    fps: float
    max_frames: int
    num_frames: int | None

    def __post_init__(self) -> None:
        for name, number in vars(self).items():
            if number is not None and not number > 0:
                raise InputError(f"{name} is {number}; give a number above 0")

    def targets(self, reader: _Reader) -> list[Fraction]:
        most = reader.file.limits.max_frames
        number = None if self.num_frames is None else min(self.num_frames, most)
        return _targets(reader.duration, self.fps, min(self.max_frames, most), number)


def _targets(duration: Fraction, fps: float, max_frames: int, num_frames: int | None) -> list[Fraction]:
    """Return the sampling times: multiples of 1/fps, or the starts of equal segments."""
    count = num_frames
    if count is None:
        wanted = max(1, math.ceil((duration - EPSILON) * Fraction(fps)))
        if wanted <= max_frames:
            return [index / Fraction(fps) for index in range(wanted)]
        count = max_frames
    return [index * duration / count for index in range(count)]


class _Reader:
    """Reads the frames on screen at given times, seeking where that is cheaper.

    duration: Seconds from the start of the first frame to the end of the last.
    """

    def __init__(self, file: VideoFile) -> None:
        self.file = file
        self.start, end = file.span()
        self.frame_time = file.frame_time * file.base
        self.duration = (end - self.start) * file.base
        self.seek_gap = SEEK_GAP if file.is_timed else self.duration + 1
        file.rewind()

    def read(self, targets: Sequence[Fraction], max_pixels: int) -> Video:
        """Yield the frames on screen at `targets` (ascending seconds), each once."""
        shown = self._shown(targets, self._frames())
        frames = [(float(time), *self._image(frame, max_pixels)) for time, frame in shown]
        times, images, sizes = (tuple(values) for values in zip(*frames, strict=True))
        return Video(images, times, float(self.shown_duration), sizes)

    def frame_size(self) -> tuple[int, int]:
        """Return height and width of the first frame, upright. The file is at its start before and after."""
        _, frame = next(self.file.frames(), (None, None))
        if frame is None:
            raise self.file.no_frames()
        size = self.file.upright_size(frame)
        self.file.rewind()
        return size

    def times(self, targets: Sequence[Fraction]) -> tuple[tuple[float, ...], float]:
        """Return timestamps of the frames that `read` yields, and the duration, from packets only."""
        moments = sorted((self._seconds(moment.time), moment) for moment in self.file.moments())
        self.seek_gap = self.duration + 1  # all times are known
        timestamps = tuple(float(time) for time, _ in self._shown(targets, iter(moments)))
        return timestamps, float(self.shown_duration)

    def _shown(
        self, targets: Sequence[Fraction], frames: Iterator[tuple[Fraction, Any]]
    ) -> Iterator[tuple[Fraction, Any]]:
        """Yield (seconds, frame) on screen at `targets`, each once; sets `shown_duration` at the end."""
        held: tuple[Fraction, Any] | None = None  # the newest frame at or before the moment
        ahead = next(frames, None)
        is_cut = False
        last: Fraction | None = None
        for target in targets:
            if ahead is not None and target - ahead[0] > self.seek_gap:
                frames, ahead = self._sought(target, ahead[0])
            while ahead is not None and (held is None or ahead[0] <= target + EPSILON):
                held, ahead = ahead, next(frames, None)
            is_cut = held is None or (ahead is None and target >= self._end(held) + EPSILON)
            if held is None or is_cut:
                break  # nothing more can be read
            if last is None or held[0] > last:
                last = held[0]
                yield held
        if last is None:
            raise self.file.no_frames()
        self.shown_duration = self.duration
        if is_cut:  # the packets promised more than can be decoded
            step = targets[1] - targets[0] if len(targets) > 1 else self.frame_time
            self.shown_duration = min(self.duration, last + step)

    def _end(self, held: tuple[Fraction, Any]) -> Fraction:
        """Return the time until which a last frame is on screen."""
        time, frame = held
        return time + (frame.duration * self.file.base if frame.duration else self.frame_time)

    def _sought(self, target: Fraction, position: Fraction) -> tuple[Iterator[tuple[Fraction, Any]], Any]:
        """Return (frames, the first of them) from a key frame at or before `target`."""
        for earlier in SEEK_STEPS:
            aim = max(target - earlier, Fraction(0))
            if not self.file.seek(int(aim / self.file.base) + self.start):
                continue
            frames = self._frames()
            ahead = next(frames, None)
            if ahead is None or ahead[0] <= target:
                if ahead is not None and ahead[0] <= position:  # key frames are further apart: seek less eagerly
                    self.seek_gap = 2 * max(self.seek_gap, target - position)
                return frames, ahead
        self.seek_gap = self.duration + 1  # seeking does not work here: read everything from the start, once
        self.file.rewind()
        frames = self._frames()
        return frames, next(frames, None)

    def _frames(self) -> Iterator[tuple[Fraction, Any]]:
        """Yield (seconds since the start, frame) in order, from the current position."""
        for time, frame in self.file.frames():
            yield self._seconds(time), frame

    def _seconds(self, time: int) -> Fraction:
        return max((time - self.start) * self.file.base, Fraction(0))

    def _image(self, frame: Any, max_pixels: int) -> tuple[Image.Image, tuple[int, int]]:
        """Return the upright frame, shrunk to at most `max_pixels`, and its size before."""
        image = self.file.image(frame)
        size = image.size
        if image.width * image.height > max_pixels:
            high, wide = smart_resize(image.height, image.width, min_pixels=1, max_pixels=max_pixels)
            image = image.resize((wide, high))
        return image, size

"""The video stream of an open file, through PyAV: packets, frames and seeking; all errors are `MediaError`.

Times are the stream's own, in units of `base` seconds. The container's duration and start are not used: they may be
those of the audio, guesses or missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from itertools import islice
from typing import Any, BinaryIO

import av
import av.stream
from PIL import Image

from pixelword.errors import MediaError
from pixelword.processing.decoding import decoding, reason
from pixelword.processing.limits import Limits

# Containers that hold their own data. Playlists (HLS, DASH, concat) are left out: they open other files and addresses.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,apng,mjpeg,h264,hevc,m4v,mpegvideo,ivf,obu,"
    "mxf,dv,wav,mp3,flac,aac"
)

#: How the names of such files end, those with sound alone left out.
SUFFIXES = (
    "mp4", "m4v", "mov", "qt", "3gp", "3g2", "mj2", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg", "mpe",
    "vob", "m1v", "m2v", "flv", "f4v", "ogv", "ogg", "ogm", "asf", "wmv", "mjpeg", "mjpg", "h264", "264", "avc", "hevc",
    "h265", "265", "ivf", "obu", "mxf", "dv",
)  # fmt: skip

# More packets than frame reordering spans, so the first frame to be shown is among these.
_REORDERED = 32
# Seconds before the end from which on it is looked for.
_TAIL = 2
# Formats that number their packets (AVI), or whose packets have times of their own only now and then (MPEG-PS).
_COUNTED = ("avi", "mpeg")


@dataclass(frozen=True, order=True)
class Moment:
    """Presentation of a frame: `time` since the file's zero, for `duration`; both in stream units."""

    time: int
    duration: int
    is_key: bool = False


class VideoFile:
    """First video stream of `file`, which the caller closes. Raises `MediaError`: no video, or beyond `limits`."""

    def __init__(self, file: BinaryIO, name: str, limits: Limits) -> None:
        self.file, self.name, self.limits = file, name, limits
        self._damage = ""
        #: Whether packets have times of their own; those of a raw stream are counted from its start.
        self.is_timed = False
        self._open()
        with decoding(name, "video"):
            context = self.stream.codec_context
            self.base = Fraction(self.stream.time_base or Fraction(1, av.time_base))
            rate = self.stream.guessed_rate or self.stream.average_rate or Fraction(25)
            self._check_size(context.width, context.height)
        #: The duration of a frame whose own is not known.
        self.frame_time = max(round(1 / Fraction(rate) / self.base), 1) if rate > 0 else 1

    def _open(self) -> None:
        problem = "not a video that can be read, or cut off before its index"
        with decoding(self.name, "video", problem):
            self.file.seek(0)
            self.container: Any = av.open(
                self.file, options={"format_whitelist": CONTAINERS}, metadata_errors="replace", buffer_size=1 << 16
            )
        try:
            with decoding(self.name, "video"):
                self.stream = self._moving()
                self.stream.thread_type = "AUTO"
        except MediaError:
            self.container.close()
            raise

    def _moving(self) -> Any:
        """Return the first stream that is not the cover art of an audio file."""
        cover = av.stream.Disposition.attached_pic
        stream = next((item for item in self.container.streams.video if not item.disposition & cover), None)
        if stream is None:
            raise MediaError(f"{self.name}: has no video stream; give a video file, not sound alone")
        if stream.codec_context is None:
            raise MediaError(f"{self.name}: its codec cannot be decoded; convert it to H.264 or VP9")
        return stream

    def _check_size(self, width: int, height: int) -> None:
        """Raise `MediaError` if frames are too large or too elongated."""
        if width * height > self.limits.max_image_pixels:
            raise MediaError(
                f"{self.name}: frames of {width}x{height} pixels exceed the limit of "
                f"{self.limits.max_image_pixels:,}; shrink it"
            )
        if max(width, height) > self.limits.max_aspect_ratio * max(min(width, height), 1):
            raise MediaError(
                f"{self.name}: frames of {width}x{height} pixels are longer than "
                f"{self.limits.max_aspect_ratio:g}:1; crop them"
            )

    def close(self) -> None:
        """Close the container; its decoder first comes to rest.

        PyAV frees a decoder while it holds Python's lock, and waits for the decoder's threads. One that wants to log
        needs that lock, where a log level is set: both would wait for ever. Flushing waits without the lock.
        """
        with decoding(self.name, "video"):
            self.stream.codec_context.flush_buffers()
            self.container.close()

    def rewind(self) -> None:
        """Restart from the first packet by reopening, since not every format can seek to its start."""
        self.close()
        self._open()

    def seek(self, time: int) -> bool:
        """Seek to the key frame at or before `time`; return False if that fails."""
        try:
            self.container.seek(time, stream=self.stream, backward=True)
        except Exception:  # PermissionError (a raw stream), OverflowError (a time of a damaged file), ...
            return False
        return True

    def packets(self) -> Iterator[Any]:
        """Yield packets from here on, in file order, up to a broken tail."""
        with decoding(self.name, "video"):
            found = self.container.demux(self.stream)
        while True:
            try:
                packet = next(found, None)
            except Exception as error:  # what came before it stays
                self._damage = reason(error)
                return
            if packet is None:
                return
            yield packet

    def moments(self) -> Iterator[Moment]:
        """Yield the presentation of each packet's frame from here on, in file order."""
        after = 0  # the end of the packet before, which is the time of one that has none
        for packet in self.packets():
            moment = self._moment(packet, after)
            if moment is not None:
                after = moment.time + moment.duration
                yield moment

    def _moment(self, packet: Any, after: int) -> Moment | None:
        if not packet.size or packet.is_discard:
            return None
        self.is_timed = packet.pts is not None
        time = packet.pts if self.is_timed else after
        return Moment(time, packet.duration or self.frame_time, packet.is_keyframe)

    def frames(self) -> Iterator[tuple[int, Any]]:
        """Yield (time, frame) from here on, skipping damaged packets.

        If packets have no presentation times, a frame takes the earliest time of the packets so far.
        """
        waiting: list[Moment] = []
        is_counted = self.container.format.name == "avi"
        after = 0
        for packet in self.packets():
            moment = self._moment(packet, after)
            if moment is not None and (is_counted or not self.is_timed):
                after = moment.time + moment.duration
                heappush(waiting, moment)
            try:
                decoded = packet.decode()
            except Exception as error:
                self._damage = reason(error)
                continue
            for frame in decoded:
                time = heappop(waiting).time if waiting else frame.pts
                if time is None:
                    time = after
                after = time + (frame.duration or self.frame_time) if not waiting else after
                yield time, frame

    def no_frames(self) -> MediaError:
        because = f" ({self._damage})" if self._damage else ""
        return MediaError(
            f"{self.name}: not one frame can be decoded{because}; the file is damaged, cut off or has no frames"
        )

    def span(self) -> tuple[int, int]:
        """Return the start of the first frame and the end of the last; the file must be at its start.

        Raises `MediaError`: no frames.
        """
        moments = self.moments()
        first = list(islice(moments, _REORDERED))
        if not first:
            raise self.no_frames()
        start, end = min(first).time, _end(first, 0)
        if len(first) == _REORDERED:
            tail = self._tail(start)
            if not tail:
                self.rewind()
                moments = self.moments()
            end = _end(tail or moments, end)
        return start, end

    def _tail(self, start: int) -> list[Moment]:
        """Yield presentations near the end of the file; none if seeking fails."""
        length = max(self.stream.duration or 0, round(Fraction(self.container.duration or 0, av.time_base) / self.base))
        aim = start + length - round(_TAIL / self.base)
        if aim <= start or not self.is_timed or self.container.format.name in _COUNTED or not self.seek(aim):
            return []
        tail = list(self.moments())
        # one that starts between key frames may begin behind a frame that is shown after all others
        return tail if tail and (tail[0].is_key or len(tail) >= _REORDERED) else []

    def image(self, frame: Any) -> Image.Image:
        """Convert a frame to an upright image."""
        self._check_size(frame.width, frame.height)
        with decoding(self.name, "video"):
            image: Image.Image = frame.to_image()
            return image.rotate(frame.rotation, expand=True) if frame.rotation else image

    def upright_size(self, frame: Any) -> tuple[int, int]:
        """Return the height and width of that image."""
        with decoding(self.name, "video"):
            width, height = Image.new("1", (frame.width, frame.height)).rotate(frame.rotation, expand=True).size
        return height, width


def _end(moments: Iterable[Moment], least: int) -> int:
    return max((moment.time + moment.duration for moment in moments), default=least)

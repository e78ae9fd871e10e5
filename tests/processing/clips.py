"""Video files whose frames carry their own number, in every container that the documentation names."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

RATE, COUNT = 25, 100
SIZE = (128, 64)
_BITS = 8


@dataclass(frozen=True)
class Form:
    """How a clip is written. number_of_frames: what a reader finds of the `COUNT`."""

    format: str
    codec: str
    sound: str = ""
    options: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = SIZE
    can_start_late: bool = False
    pixels: str = "yuv420p"


FORMS = {
    "mp4": Form("mp4", "libx264", "aac", can_start_late=True),
    "mp4 index first": Form("mp4", "libx264", "aac", {"movflags": "faststart"}),
    "mp4 fragmented": Form("mp4", "libx264", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "mp4 hevc": Form("mp4", "libx265", "aac"),
    "mp4 av1": Form("mp4", "libsvtav1"),
    "mov": Form("mov", "mpeg4", "pcm_s16le", can_start_late=True),
    "mov prores": Form("mov", "prores_ks", pixels="yuv422p10le"),
    "3gp": Form("3gp", "mpeg4", "aac"),
    "mkv": Form("matroska", "libx264", "libmp3lame", can_start_late=True),
    "mkv live": Form("matroska", "libx264", "libmp3lame", {"live": "1"}, can_start_late=True),
    "webm": Form("webm", "libvpx-vp9", "libopus", can_start_late=True),
    "webm live": Form("webm", "libvpx-vp9", "libopus", {"live": "1"}, can_start_late=True),
    "ts": Form("mpegts", "libx264", "aac", can_start_late=True),
    "ts hevc": Form("mpegts", "libx265", "aac", can_start_late=True),
    "avi": Form("avi", "mpeg4", "pcm_s16le"),
    "avi h264": Form("avi", "libx264", "pcm_s16le"),
    "avi mjpeg": Form("avi", "mjpeg", "pcm_s16le", pixels="yuvj420p"),
    "flv": Form("flv", "libx264", "aac", can_start_late=True),
    "asf": Form("asf", "wmv2", "libmp3lame", can_start_late=True),
    "mpg": Form("mpeg", "mpeg1video", "mp2"),
    "vob": Form("vob", "mpeg2video", "mp2"),
    "mxf": Form("mxf", "mpeg2video"),
    "ivf": Form("ivf", "libvpx-vp9"),
    "obu": Form("obu", "libsvtav1"),
    "dv": Form("dv", "dvvideo", size=(720, 576)),
    "raw h264": Form("h264", "libx264"),
    "raw hevc": Form("hevc", "libx265"),
    "raw mpeg-4": Form("m4v", "mpeg4"),
    "raw mpeg-2": Form("mpeg2video", "mpeg2video"),
    "raw mjpeg": Form("mjpeg", "mjpeg", pixels="yuvj420p"),
    "gif": Form("gif", "gif", pixels="rgb8"),
    "apng": Form("apng", "apng", pixels="rgb24"),
}


def numbered(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A grey frame with a row of blocks, black or white, that are the bits of its number."""
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    width = size[0] // _BITS
    for bit in range(_BITS):
        pixels[size[1] // 4 : -size[1] // 4, bit * width : (bit + 1) * width] = 235 * (index >> bit & 1) + 10
    return pixels


def number_of(frame: Image.Image) -> int:
    """The number that a frame carries."""
    grey = frame.convert("L")
    width = frame.width / _BITS
    return sum((grey.getpixel((int((bit + 0.5) * width), frame.height // 2)) > 128) << bit for bit in range(_BITS))


@lru_cache(maxsize=256)
def clip(name: str, *, sound: float = 0.0, start: float = 0.0, count: int = COUNT, cut_in: int = 0) -> bytes:
    """A file of the form `name`. sound: seconds of it; start: of the clock; cut_in: frames before an edit list."""
    form = FORMS[name]
    file = Path(tempfile.mkdtemp()) / "clip"  # some muxers read again what they wrote
    options = dict(form.options)
    if cut_in:
        options["avoid_negative_ts"] = "disabled"
    with _usual_scheduling(), av.open(str(file), "w", format=form.format, options=options) as container:
        video = _add_video(container, form)
        audio = container.add_stream(form.sound, rate=48_000) if sound else None
        if audio is not None:
            audio.layout = "mono"
        first = round(start * RATE) - cut_in
        packets = []
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(index, form.size), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            packets += video.encode(frame)
        packets += video.encode(None)
        for packet in packets:
            shift = round(first / RATE / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, None if packet.dts is None else packet.dts + shift
        if audio is not None:
            packets += _silence(audio, sound, start)
        packets.sort(key=lambda packet: packet.dts * packet.time_base if packet.dts is not None else 0)
        for packet in packets:
            container.mux(packet)
    content = file.read_bytes()
    shutil.rmtree(file.parent)
    return content


@contextmanager
def _usual_scheduling() -> Iterator[None]:
    """SVT-AV1, run by root, makes the calling thread and all it starts real-time: they would starve the machine."""
    policy = getattr(os, "sched_getscheduler", lambda _: None)(0)
    yield
    if policy is not None:
        os.sched_setscheduler(0, policy, os.sched_param(0))


def _add_video(container: av.container.OutputContainer, form: Form) -> av.VideoStream:
    options = {"libx264": {"preset": "veryfast"}, "libx265": {"x265-params": "log-level=none", "preset": "ultrafast"}}
    options["libsvtav1"] = {"preset": "8", "crf": "5"}
    options["libvpx-vp9"] = {"deadline": "realtime", "cpu-used": "8"}
    video = container.add_stream(form.codec, rate=RATE, options=options.get(form.codec, {}))
    video.width, video.height = form.size
    video.pix_fmt = form.pixels
    video.codec_context.time_base = Fraction(1, RATE)
    if form.codec not in ("mjpeg", "prores_ks", "dvvideo", "gif", "apng"):
        video.gop_size = 12
        video.bit_rate = 0 if form.codec == "libsvtav1" else 400_000
    return video


def _silence(audio: av.AudioStream, seconds: float, start: float) -> list[av.Packet]:
    packets: list[av.Packet] = []
    kind = {"pcm_s16le": ("s16", np.int16), "mp2": ("s16", np.int16), "libopus": ("s16", np.int16)}
    name, dtype = kind.get(audio.codec_context.name, ("fltp", np.float32))
    for index in range(round(seconds * 48_000) // 960):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), dtype), format=name, layout="mono")
        frame.rate, frame.pts = 48_000, index * 960
        packets += audio.encode(frame)
    packets += audio.encode(None)
    for packet in packets:
        shift = round(start / packet.time_base)
        packet.pts = packet.pts + shift
        packet.dts = packet.pts
    return packets

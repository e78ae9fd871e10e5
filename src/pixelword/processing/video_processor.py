"""The video processor, with the name and settings that transformers' tools look for."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from transformers.image_processing_utils import BatchFeature

from pixelword.errors import InputError
from pixelword.processing.chat import Clip
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.options import MediaOptions, media_options
from pixelword.processing.videos import Video


class VideoSettings(Protocol):
    """What a `NeoOVProcessor` has for videos."""

    video_fps: float
    video_max_frames: int
    frame_max_pixels: int
    image_processor: NeoOVImageProcessor

    def video(self, clip: Clip, high: int, options: MediaOptions) -> Video: ...


class NeoOVVideoProcessor:
    """Video-only view of its processor: settings changed here change there.

    Attributes:
        fps, max_frames: The processor's `video_fps` and `video_max_frames`.
        max_pixels: The processor's `frame_max_pixels`.
        temporal_patch_size: 1, since a frame is an image.
    """

    model_input_names = ("pixel_values", "image_grid_hw")
    temporal_patch_size = 1

    def __init__(self, processor: VideoSettings) -> None:
        self._processor = processor

    @property
    def fps(self) -> float:
        return self._processor.video_fps

    @fps.setter
    def fps(self, value: float) -> None:
        self._processor.video_fps = float(value)

    @property
    def max_frames(self) -> int:
        return self._processor.video_max_frames

    @max_frames.setter
    def max_frames(self, value: int) -> None:
        self._processor.video_max_frames = int(value)

    @property
    def max_pixels(self) -> int:
        return self._processor.frame_max_pixels

    @max_pixels.setter
    def max_pixels(self, value: int) -> None:
        self._processor.frame_max_pixels = int(value)

    @property
    def patch_size(self) -> int:
        return self._processor.image_processor.patch_size

    @property
    def merge_size(self) -> int:
        return self._processor.image_processor.merge_size

    def __call__(self, videos: Any, *, return_tensors: str | None = "pt", **options: Any) -> BatchFeature:
        """Preprocess the frames of one video or a list of videos, as `NeoOVProcessor` does.

        Args:
            videos: In any form that a message takes; a list of images is one video.
            options: The fields of `MediaOptions`.

        Returns:
            pixel_values: (patches, 768) float32 of all frames.
            image_grid_hw: (frames, 2) int64, patches along height and width.

        Raises:
            InputError: An option is unknown, or no video is given.
            MediaError: A video cannot be read.
        """
        media, images = media_options(options), self._processor.image_processor
        low, high = images.budget(media.min_pixels, media.max_pixels)
        most = min(high, self.max_pixels)
        clips = [self._processor.video(Clip(source, {}), high, media) for source in _each(videos)]
        frames = [
            images.prepare(frame, min_pixels=min(low, most), max_pixels=most) for clip in clips for frame in clip.frames
        ]
        if not frames:
            raise InputError("no video was given; pass at least one")
        data = {
            "pixel_values": np.concatenate([patches for patches, _ in frames]),
            "image_grid_hw": np.asarray([grid for _, grid in frames], dtype=np.int64),
        }
        return BatchFeature(data, tensor_type=return_tensors)


def _each(videos: Any) -> list[Any]:
    """Split a list into videos; a list of images is one video."""
    if not isinstance(videos, list | tuple):
        return [videos]
    is_video = isinstance(videos[0], Video | str | bytes | list | tuple) if videos else True
    is_video |= bool(videos) and isinstance(videos[0], np.ndarray | torch.Tensor) and videos[0].ndim == 4
    return list(videos) if is_video else [videos]

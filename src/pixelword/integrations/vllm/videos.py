"""Videos for vLLM's server, decoded with PyAV and real timestamps, as everywhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
from vllm.multimodal.video import VIDEO_LOADER_REGISTRY, VideoLoader

from pixelword.processing import NeoOVProcessor, Video, load_video
from pixelword.processing.videos import FRAME_MAX_PIXELS

NAME = "pixelword"


@VIDEO_LOADER_REGISTRY.register(NAME)
class NeoOVVideoLoader(VideoLoader):
    """`load_video` under vLLM's name for it; options come from `--media-io-kwargs`, by default `settings`."""

    @classmethod
    def load_bytes(
        cls,
        data: bytes,
        num_frames: int = -1,
        fps: float = 1.0,
        max_frames: int = 128,
        max_pixels: int = FRAME_MAX_PIXELS,
        **unused: Any,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        number = num_frames if num_frames > 0 else None
        video = load_video(data, fps=fps, max_frames=max_frames, num_frames=number, max_pixels=max_pixels)
        return frames_and_times(video)


def frames_and_times(video: Video) -> tuple[np.ndarray, dict[str, Any]]:
    """Return frames (N, H, W, 3) uint8, and vLLM's metadata."""
    frames = np.stack([np.asarray(frame.convert("RGB")) for frame in video.frames])
    return frames, {"timestamps": list(video.timestamps), "duration": video.duration}


def settings(processor: NeoOVProcessor, max_pixels: int) -> dict[str, dict[str, Any]]:
    """`--media-io-kwargs` with which the server reads media as the processor does; given ones win."""
    video = {
        "video_backend": NAME,
        "num_frames": -1,
        "fps": processor.video_fps,
        "max_frames": processor.video_max_frames,
        "max_pixels": min(max_pixels, processor.frame_max_pixels),
    }
    return {"image": {"image_mode": None}, "video": video}

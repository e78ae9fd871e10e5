"""Pictures, videos and chat -> tensors."""

from __future__ import annotations

from .conversation import Encoded, content_from_text
from .images import NeoOVImageProcessor, load_image, smart_resize
from .limits import Limits
from .processor import MediaOptions, NeoOVProcessor
from .videos import Video, frames_to_video, load_video

__all__ = [
    "Encoded",
    "Limits",
    "MediaOptions",
    "NeoOVImageProcessor",
    "NeoOVProcessor",
    "Video",
    "content_from_text",
    "frames_to_video",
    "load_image",
    "load_video",
    "smart_resize",
]

"""Images, videos and chat -> tensors.

Names are imported on first use; importing a processor registers it with transformers' Auto classes (see `auto`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelword.lazy import lazy_names

if TYPE_CHECKING:
    from pixelword.processing.auto import NeoOVImageProcessor, NeoOVProcessor
    from pixelword.processing.chat import content_from_text
    from pixelword.processing.images import load_image
    from pixelword.processing.limits import Limits
    from pixelword.processing.options import MediaOptions
    from pixelword.processing.resize import smart_resize
    from pixelword.processing.types import Encoded, ImageSpan
    from pixelword.processing.videos import Video, frames_to_video, load_video

__all__ = [
    "Encoded",
    "ImageSpan",
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

_NAMES = {
    "auto": ("NeoOVImageProcessor", "NeoOVProcessor"),
    "chat": ("content_from_text",),
    "images": ("load_image",),
    "limits": ("Limits",),
    "options": ("MediaOptions",),
    "resize": ("smart_resize",),
    "types": ("Encoded", "ImageSpan"),
    "videos": ("Video", "frames_to_video", "load_video"),
}
__getattr__, __dir__ = lazy_names(
    __name__, {name: f"pixelword.processing.{module}" for module, names in _NAMES.items() for name in names}
)

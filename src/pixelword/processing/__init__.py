"""Pictures, videos and chat -> tensors. Importing this makes the processors known to transformers' Auto classes."""

from __future__ import annotations

from transformers import AutoProcessor

# by its home: without torchvision, transformers 5.16 puts a stand-in that only raises under its short name
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from pixelword.model import NeoOVConfig
from pixelword.processing.conversation import Encoded, content_from_text
from pixelword.processing.images import NeoOVImageProcessor, load_image, smart_resize
from pixelword.processing.limits import Limits
from pixelword.processing.options import MediaOptions
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.videos import Video, frames_to_video, load_video

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
    "register",
    "smart_resize",
]


def register() -> None:
    """Make AutoProcessor and AutoImageProcessor know the model type neo_chat; harmless to call again."""
    AutoImageProcessor.register(NeoOVConfig, image_processor_classes={"pil": NeoOVImageProcessor}, exist_ok=True)
    AutoProcessor.register(NeoOVConfig, NeoOVProcessor, exist_ok=True)


register()

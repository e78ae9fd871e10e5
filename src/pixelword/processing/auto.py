"""Registers the processors of the model type neo_chat with transformers' Auto classes on import."""

from __future__ import annotations

# by their homes: without torchvision, transformers 5.16 puts a stand-in that only raises under a short name
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.auto.processing_auto import AutoProcessor

from pixelword.model import NeoOVConfig
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor

__all__ = ["NeoOVImageProcessor", "NeoOVProcessor"]

AutoImageProcessor.register(NeoOVConfig, image_processor_classes={"pil": NeoOVImageProcessor})
AutoProcessor.register(NeoOVConfig, NeoOVProcessor)

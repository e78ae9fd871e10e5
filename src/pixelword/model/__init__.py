"""The network: single-device mathematics that imports nothing of ours above it."""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText

from .configuration import SIZES, NeoOVConfig, NeoOVTextConfig, NeoOVVisionConfig
from .modeling import NeoOVForConditionalGeneration, NeoOVModel

# A class that is registered here wins over a checkpoint's `auto_map`, so that no remote code ever runs.
AutoConfig.register("neo_chat", NeoOVConfig, exist_ok=True)
AutoModel.register(NeoOVConfig, NeoOVModel, exist_ok=True)
AutoModelForImageTextToText.register(NeoOVConfig, NeoOVForConditionalGeneration, exist_ok=True)

__all__ = [
    "SIZES",
    "NeoOVConfig",
    "NeoOVForConditionalGeneration",
    "NeoOVModel",
    "NeoOVTextConfig",
    "NeoOVVisionConfig",
]

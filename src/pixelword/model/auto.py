"""Importing this makes transformers' Auto classes know the model type neo_chat."""

from __future__ import annotations

from transformers.models.auto.configuration_auto import AutoConfig
from transformers.models.auto.modeling_auto import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
)

from .configuration import NeoOVConfig, NeoOVTextConfig, NeoOVVisionConfig
from .modeling import NeoOVForConditionalGeneration, NeoOVModel

__all__ = ["NeoOVConfig", "NeoOVForConditionalGeneration", "NeoOVModel", "NeoOVTextConfig", "NeoOVVisionConfig"]

# A class that is registered here wins over a checkpoint's `auto_map`, so that no remote code ever runs.
AutoConfig.register("neo_chat", NeoOVConfig, exist_ok=True)
AutoModel.register(NeoOVConfig, NeoOVModel, exist_ok=True)
AutoModelForImageTextToText.register(NeoOVConfig, NeoOVForConditionalGeneration, exist_ok=True)
AutoModelForMultimodalLM.register(NeoOVConfig, NeoOVForConditionalGeneration, exist_ok=True)

"""The network without its weights."""

from __future__ import annotations

import torch

from .config import NeoOVConfig
from .modeling import NeoOVForConditionalGeneration


def meta_model(config: NeoOVConfig) -> NeoOVForConditionalGeneration:
    """The network on the meta device: every name and shape and no memory, whatever the size."""
    with torch.device("meta"):
        model = NeoOVForConditionalGeneration(config)
    model.tie_weights()
    return model

"""What a model is made of and what it costs, from its configuration alone: no weights are read."""

from __future__ import annotations

import torch

from .configuration import NeoOVConfig
from .modeling import NeoOVForConditionalGeneration


def meta_model(config: NeoOVConfig) -> NeoOVForConditionalGeneration:
    """The network on the meta device: every name and shape and no memory, whatever the size."""
    with torch.device("meta"):
        model = NeoOVForConditionalGeneration(config)
    model.tie_weights()
    return model


def count_parameters(config: NeoOVConfig) -> dict[str, int]:
    """Parameters of each part; a tied head counts nothing, and "norm and head" is what the other parts leave."""
    network = meta_model(config)
    language = network.language_model.model
    extra = config.llm_config.extra_num_layers
    parts = {
        "patch embedding": network.vision_model,
        "token embedding": language.embed_tokens,
        "pre-buffer": language.layers[:extra],
        "post-LLM": language.layers[extra:],
    }
    counted = {name: sum(one.numel() for one in part.parameters()) for name, part in parts.items()}
    return {**counted, "norm and head": sum(one.numel() for one in network.parameters()) - sum(counted.values())}


def kv_bytes_per_token(config: NeoOVConfig, dtype: torch.dtype = torch.bfloat16) -> int:
    """Bytes of cache that a token takes: in every layer a key is T, H and W (2 * head_dim), a value head_dim."""
    text = config.llm_config
    return text.num_hidden_layers * text.num_key_value_heads * 3 * text.head_dim * dtype.itemsize


def visual_tokens(config: NeoOVConfig, height: int, width: int) -> int:
    """Visual tokens of a picture that was already resized to `height` x `width` pixels."""
    side = config.vision_config.patch_size * config.vision_config.merge_size
    return (height // side) * (width // side)

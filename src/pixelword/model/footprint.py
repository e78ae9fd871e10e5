"""Layers, parameters and memory of a model, from its configuration alone; imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import NeoOVConfig, NeoOVTextConfig
    from .sizes import Arguments, TextArguments

BF16_BYTES = 2
#: Numbers that share a scale and a zero point where weights have 4 bits.
_GROUP = 128


def count_parameters(config: NeoOVConfig | Arguments) -> dict[str, int]:
    """Parameters of each part; a tied head counts nothing."""
    text, vision = config.llm_config, config.vision_config
    embedding = text.vocab_size * text.hidden_size
    layer = _layer(text)
    patches = vision.num_channels * vision.patch_size**2
    merged = vision.hidden_size * vision.merge_size**2
    return {
        "patch embedding": (patches + 1) * vision.hidden_size + (merged + 1) * text.hidden_size,
        "token embedding": embedding,
        "pre-buffer": text.extra_num_layers * layer,
        "post-LLM": (text.num_hidden_layers - text.extra_num_layers) * layer,
        "norm and head": text.hidden_size + (0 if text.tie_word_embeddings else embedding),
    }


def _layer(text: NeoOVTextConfig | TextArguments) -> int:
    """Parameters of one decoder layer."""
    queries, keys = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    # q, q_hw and o; k, k_hw and v; the MLP's three; the norms of the T, H and W parts of a head; those of the layer
    projections = 3 * queries + 3 * keys + 3 * text.intermediate_size + 2
    head_norms = 2 * text.head_dim * (2 if text.qk_norm else 1)
    return projections * text.hidden_size + head_norms


def weight_bytes(config: NeoOVConfig | Arguments, bits: int = 16) -> int:
    """Bytes of the weights in memory: in bf16, or as `--quantize` holds them.

    bits: 16, or 8 or 4 for the matrices of layers and head, which then is held apart from a table of words that it is
    tied to. The table, norms and the patch embedding stay bf16. 4 bits have a bf16 scale and zero point per group.
    """
    parts = count_parameters(config)
    if bits == 8 * BF16_BYTES:
        return sum(parts.values()) * BF16_BYTES
    layers, head = parts["pre-buffer"] + parts["post-LLM"], parts["token embedding"]
    rest = sum(parts.values()) - layers - (0 if config.llm_config.tie_word_embeddings else head)
    scales = 2 * BF16_BYTES * (layers + head) // _GROUP if bits == 4 else 0
    return (layers + head) * bits // 8 + scales + rest * BF16_BYTES


def kv_bytes_per_token(config: NeoOVConfig | Arguments, number: int = BF16_BYTES) -> int:
    """Bytes of cache that a token takes: in every layer a key is T, H and W (2 * head_dim), a value head_dim."""
    text = config.llm_config
    return text.num_hidden_layers * text.num_key_value_heads * 3 * text.head_dim * number


def visual_tokens(config: NeoOVConfig | Arguments, height: int, width: int) -> int:
    """Visual tokens of an image that was already resized to `height` x `width` pixels."""
    side = config.vision_config.patch_size * config.vision_config.merge_size
    return (height // side) * (width // side)

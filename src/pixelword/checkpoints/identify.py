"""Which released model a configuration is of, and in what it differs from the nearest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixelword.model.config import NeoOVConfig
from pixelword.model.family import MISNAMED, MODEL_TYPE
from pixelword.model.sizes import RELEASED, RELEASED_IDS, SIZES

#: What makes the shapes of the tensors.
_SHAPE = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "extra_num_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "qk_norm", "tie_word_embeddings",
)  # fmt: skip
_PRETRAINED = "Paranioar/NEO1_0-2B-PT"


def identified(config: NeoOVConfig, written: Mapping[str, Any], source: str | None = None) -> dict[str, Any]:
    """The released models that a checkpoint may be, as JSON has it.

    Models of a size have the same shapes, so that several are named where nothing else distinguishes them.

    Args:
        config: as it was read.
        written: the config.json itself.
        source: `org/name@commit`, where the folder is known to be of that model.

    Returns:
        size: the nearest one. models: ids whose shapes these are; empty where there are differences of shape. differs:
        in words, what is not as in that size, and what config.json has wrong.
    """
    found = {size: _differences(config, size) for size in RELEASED}
    size = min(found, key=lambda item: len(found[item]))
    models = [] if found[size] else [name for name, (of, _) in RELEASED_IDS.items() if of == size]
    differs = list(found[size])
    if written.get("model_type") == MISNAMED:
        models = [name for name in models if name == _PRETRAINED]
        differs.append(f"model_type is {MISNAMED}, not {MODEL_TYPE}; `pixelword convert` repairs it")
    name = source.partition("@")[0] if source else None
    if name in models:
        models = [name]
    return {"size": size, "models": models, "source": source, "differs": differs}


def _differences(config: NeoOVConfig, size: str) -> list[str]:
    other = NeoOVConfig(**SIZES[size])
    pairs = {key: (getattr(config.llm_config, key), getattr(other.llm_config, key)) for key in _SHAPE}
    vision = (config.vision_config.hidden_size, other.vision_config.hidden_size)
    pairs["vision_config.hidden_size"] = vision
    return [f"{key} is {has}, not {wants}" for key, (has, wants) in pairs.items() if has != wants]

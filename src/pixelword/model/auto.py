"""Registers the model type neo_chat with transformers' Auto classes on import, unless another package has it."""

from __future__ import annotations

import warnings

from transformers.models.auto.configuration_auto import CONFIG_MAPPING, AutoConfig
from transformers.models.auto.modeling_auto import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
)

from .config import NeoOVConfig, NeoOVTextConfig, NeoOVVisionConfig
from .family import MODEL_TYPE
from .modeling import NeoOVForConditionalGeneration, NeoOVModel

__all__ = [
    "NeoOVConfig",
    "NeoOVForConditionalGeneration",
    "NeoOVModel",
    "NeoOVTextConfig",
    "NeoOVVisionConfig",
    "register",
    "unregister",
]


def register(*, replace: bool = False) -> bool:
    """Let the model type `neo_chat` mean Pixelword's classes in transformers' Auto classes; harmless to repeat.

    A class that is registered wins over a checkpoint's `auto_map`, so that no remote code is run. Importing pixelword
    does this where nobody else has the type.

    Args:
        replace: take the type from another package that registered it; without, that package keeps it, with a warning.

    Returns:
        whether the type is Pixelword's now.
    """
    holder = _holder()
    if holder is not None and not issubclass(holder, NeoOVConfig) and not replace:
        warnings.warn(
            f"{MODEL_TYPE} is registered by {holder.__module__}, which keeps it in transformers' Auto classes; "
            "pixelword.load uses Pixelword's own all the same, and pixelword.register(replace=True) chooses it there",
            stacklevel=2,
        )
        return False
    if holder is None or not issubclass(holder, NeoOVConfig):  # vLLM's plugin registers a class made from ours
        AutoConfig.register(MODEL_TYPE, NeoOVConfig, exist_ok=replace)
    return True


def _holder() -> type | None:
    """The configuration that has the type now."""
    try:
        return CONFIG_MAPPING[MODEL_TYPE]  # its `get` does not find registered classes
    except KeyError:
        return None


def unregister() -> None:
    """Give the model type `neo_chat` up in transformers' Auto classes, for another package or a checkpoint's own code.

    `pixelword.load` and Pixelword's classes by their names work as before.
    """
    holder = _holder()
    if holder is not None and issubclass(holder, NeoOVConfig):
        CONFIG_MAPPING._extra_content.pop(MODEL_TYPE)


# By Pixelword's own configuration, which no other package has.
AutoModel.register(NeoOVConfig, NeoOVModel)
AutoModelForImageTextToText.register(NeoOVConfig, NeoOVForConditionalGeneration)
AutoModelForMultimodalLM.register(NeoOVConfig, NeoOVForConditionalGeneration)
register()

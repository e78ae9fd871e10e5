"""The network: single-device mathematics that imports nothing of ours above it.

The classes are imported on first use, which also registers them with transformers' Auto classes (see `auto`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelword.lazy import lazy_names

if TYPE_CHECKING:
    from .auto import NeoOVConfig, NeoOVForConditionalGeneration, NeoOVModel, register, unregister
    from .config import NeoOVTextConfig, NeoOVVisionConfig
    from .sizes import SIZES

__all__ = [
    "SIZES",
    "NeoOVConfig",
    "NeoOVForConditionalGeneration",
    "NeoOVModel",
    "NeoOVTextConfig",
    "NeoOVVisionConfig",
    "register",
    "unregister",
]

_OTHERS = {"SIZES": "pixelword.model.sizes"}
__getattr__, __dir__ = lazy_names(__name__, {name: _OTHERS.get(name, "pixelword.model.auto") for name in __all__})

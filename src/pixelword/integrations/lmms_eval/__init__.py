"""lmms-eval's model `pixelword`, registered through an entry point.

`--model pixelword` is the chat model. lmms-eval supports likelihoods only for simple models, so there is one of those
too, for `--force_simple`.
"""

from __future__ import annotations

from typing import Any


def manifests() -> Any:
    """Return the manifests for lmms-eval, which imports the classes on first use."""
    from lmms_eval.models.registry_v2 import ModelManifest

    here = f"{__name__}.model"
    return ModelManifest(
        model_id="pixelword", chat_class_path=f"{here}.PixelwordChat", simple_class_path=f"{here}.PixelwordSimple"
    )

"""lmms-eval's models `pixelword`: found by lmms-eval through an entry point, with nothing to register by hand.

The chat model is what `--model pixelword` means. lmms-eval gives likelihoods to simple models alone, so there is one of
those too, for `--force_simple`.
"""

from __future__ import annotations

from typing import Any


def manifests() -> Any:
    """What lmms-eval calls to learn of the models; it imports their classes on first use."""
    from lmms_eval.models.registry_v2 import ModelManifest

    here = f"{__name__}.model"
    return ModelManifest(
        model_id="pixelword", chat_class_path=f"{here}.PixelwordChat", simple_class_path=f"{here}.PixelwordSimple"
    )

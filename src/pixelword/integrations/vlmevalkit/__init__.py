"""VLMEvalKit's models under upstream's names: NEOov-{2B,9B}-{image,video,si}. VLMEvalKit has no entry points, so

    python -m pixelword.integrations.vlmevalkit --weights 2B=/models/NEO-ov-2B --model NEOov-2B-image --data MMStar

makes them known to it and then is its own `run.py`. It wants torchvision, keeps its answers in pickles and switches off
the checking of certificates when it is imported: give it an environment and a folder of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

from pixelword.errors import InputError
from pixelword.integrations.presets import PRESETS

SIZES = ("2B", "9B")
#: The six models of upstream's evaluation.
NAMES = tuple(f"NEOov-{size}-{name}" for size in SIZES for name in PRESETS)


def register(known: MutableMapping[str, Any], weights: Mapping[str, str | Path]) -> list[str]:
    """Put the models whose weights are here into VLMEvalKit's table of models; their names.

    Args:
        known: `vlmeval.config.supported_VLM`: name -> what makes the model.
        weights: size ("2B", "9B") -> a checkpoint's folder, or a packaged model's name.

    Raises:
        InputError: another size.
    """
    if unknown := [size for size in weights if size not in SIZES]:
        raise InputError(f"--weights {unknown[0]}=…: upstream has the sizes {' and '.join(SIZES)}")
    made = {
        f"NEOov-{size}-{name}": partial(_model, model_path=str(path), preset=name)
        for size, path in weights.items()
        for name in PRESETS
    }
    known.update(made)
    return list(made)


def _model(**given: Any) -> Any:
    from pixelword.integrations.vlmevalkit.model import Pixelword

    return Pixelword(**given)

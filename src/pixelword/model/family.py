"""Which family a config.json is of: several share the model type of NEO, and one of NEO's has another's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pixelword.errors import CheckpointError

MODEL_TYPE = "neo_chat"
#: The type in the config.json of NEO1_0-2B-PT, whose `auto_map` points at a file that is not there.
MISNAMED = "internvl_chat"
#: Keys that only the generating half of SenseNova-U1 has, and parts of the names of its tensors.
_GENERATES = ("use_pixel_head", "fm_head_layers", "fm_head_dim", "noise_scale_mode", "extra_num_layers_post")
_GENERATING_TENSORS = ("_mot_gen", "fm_modules.", "q_norm_hw")
_SENSENOVA = (
    "this is a SenseNova-U1 model, which has NEO's model type and another network (T, H and W share a head, and a "
    "second set of weights draws images): only NEO is read here; use SenseNova's own package, or, in "
    "transformers' Auto classes, its own code after pixelword.unregister()"
)


def is_neo(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is NEO's: by its type, or by its keys where it has InternVL's."""
    if config.get("model_type") == MODEL_TYPE:
        return not is_sensenova(config)
    text = config.get("llm_config")
    keys = text if isinstance(text, Mapping) else {}
    return config.get("model_type") == MISNAMED and {"extra_num_layers", "rope_theta_hw"} <= keys.keys()


def is_sensenova(config: Mapping[str, Any]) -> bool:
    """Whether a config.json of NEO's type is SenseNova-U1's."""
    return config.get("model_type") == MODEL_TYPE and any(key in config for key in _GENERATES)


def check_family(config: Mapping[str, Any], where: str | Path) -> None:
    """Raises CheckpointError: the configuration is another family's. where: begins the message."""
    if is_sensenova(config):
        raise CheckpointError(f"{where}: {_SENSENOVA}")
    if not is_neo(config):
        raise CheckpointError(
            f"{where}: model_type is {config.get('model_type')!r}, not {MODEL_TYPE!r}: this is not a NEO checkpoint; a "
            "language model can be grown into one with `pixelword grow`"
        )


def check_keys(keys: Collection[str]) -> None:
    """Raises CheckpointError: these keys of a configuration are SenseNova-U1's."""
    if any(key in keys for key in _GENERATES):
        raise CheckpointError(_SENSENOVA)


def check_tensors(names: Collection[str], where: str | Path) -> None:
    """Raises CheckpointError: tensors of these names are SenseNova-U1's, whatever the configuration says."""
    if any(part in name for name in names for part in _GENERATING_TENSORS):
        raise CheckpointError(f"{where}: {_SENSENOVA}")

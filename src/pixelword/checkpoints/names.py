"""Which models there are, by name or folder; imports nothing heavy, so that a mistake is answered at once."""

from __future__ import annotations

import difflib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pixelword.errors import CheckpointError, InputError, reason
from pixelword.model.family import check_family
from pixelword.model.sizes import RELEASED, RELEASED_IDS, SIZES

from . import hub

#: Where the packaged models are, each in a folder of its own.
WEIGHTS = Path(__file__).parent.parent / "weights"
#: The types that weights may have.
DTYPES = ("float32", "bfloat16", "float16")
#: What weights can be rounded to on loading; see `generation.quantized`.
Quantization = Literal["int8", "int4"]
#: The key of config.json that says what `convert --quantize` rounded the matrices to.
QUANTIZED = "pixelword_quantization"
#: Where this file is, a folder holds what was changed in a packaged language model; see `delta`.
DELTA = "delta.json"

#: An adapter in PEFT's format.
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def is_delta(folder: Path) -> bool:
    """Whether the folder holds what was changed in a base, and no whole checkpoint."""
    return (folder / DELTA).is_file()


def packaged() -> tuple[str, ...]:
    """Names of the models inside this package."""
    return tuple(sorted(path.parent.name for path in WEIGHTS.glob("*/config.json")))


def resolve(name_or_dir: str | Path, *, weights: bool = True) -> Path:
    """The folder of a model: a packaged name, a checkpoint's folder, or a model of the Hub by its id.

    A packaged name wins over a folder of the same name here, and a folder over a model of the Hub; `org/name@main`
    always means the Hub's. Nothing is downloaded but for a string that can only be an id: a `Path` is a folder, and so
    is `runs/final` where there is a folder `runs`.

    Args:
        name_or_dir: "nano", a folder, "org/name" or "org/name@revision".
        weights: of a model of the Hub, fetch the weights too; without, configuration and tokenizer alone.

    Raises:
        CheckpointError: there is none of these, or the folder holds no config.json, an adapter instead of a model,
            quantized weights or another family's model; or the download fails.
    """
    if str(name_or_dir) in packaged():
        return WEIGHTS / str(name_or_dir)
    folder = Path(name_or_dir).expanduser()
    if not folder.exists() and (wanted := hub_id(name_or_dir)):
        return hub.snapshot(wanted, weights=weights, check=_check_model)
    if folder.is_dir():
        _check_model(folder)
        note_twin(name_or_dir)
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder} is a file: give the folder that holds it, with its config.json")
    raise CheckpointError(f"unknown model {str(name_or_dir)!r}{other_names(str(name_or_dir))}")


def hub_id(name: str | Path) -> hub.HubId | None:
    """The model of the Hub that a string names, None where it names something here: see `resolve`."""
    found = hub.parse(name) if isinstance(name, str) else None
    if found is None or (found.revision is None and Path(found.repo.partition("/")[0]).is_dir()):
        return None
    return found


@cache
def note_twin(name: str | Path) -> None:
    """Says once, of a folder that has the name of a released model, that the folder is what is read."""
    if str(name) in RELEASED_IDS:
        print(f"note: {name} is a folder here, which is read; {name}@main is the Hub's model", file=sys.stderr)


def _check_model(folder: Path) -> None:
    """Raises CheckpointError: not a whole model of this family, as its small files say."""
    if (folder / ADAPTER_CONFIG).is_file():  # transformers would load what it names instead
        raise CheckpointError(f"{folder} holds an adapter: give it with --adapter, and its base as the model")
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json: give the folder of a checkpoint")
    check_not_foreign(folder)
    check_family(read_json(folder / "config.json"), folder)


def check_adapter(folder: Path) -> None:
    """Raises CheckpointError: the folder holds no adapter of a kind that can be merged."""
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}: give an adapter's folder, such as runs/lora/final/adapter")
    config = read_json(folder / ADAPTER_CONFIG)
    if config.get("peft_type") != "LORA":
        raise CheckpointError(f"{folder}: a {config.get('peft_type')} adapter; only LORA is read")
    if found := [name for name in ("use_dora", "fan_in_fan_out", "lora_bias") if config.get(name)]:
        raise CheckpointError(f"{folder}: {found[0]} is not supported; merge the adapter with peft")


def stored_quantization(folder: Path) -> Quantization | None:
    """What `convert --quantize` rounded a folder's matrices to; None where it did not write the folder."""
    return check_quantization(read_json(folder / "config.json").get(QUANTIZED))


def check_not_quantized(folder: Path) -> None:
    """Raises CheckpointError: config.json says that the weights are quantized, here or by transformers."""
    if (ours := stored_quantization(folder)) is not None:
        raise CheckpointError(
            f"{folder}: its weights are {ours}, which answer on a CPU and cannot be trained, merged or converted: give "
            "the checkpoint that it was made from, which its README.md names"
        )
    check_not_foreign(folder)


def check_not_foreign(folder: Path) -> None:
    """Raises CheckpointError: config.json says that transformers saved the weights quantized."""
    quantized = read_json(folder / "config.json").get("quantization_config")
    if quantized and stored_quantization(folder) is None:
        method = quantized.get("quant_method", "a method not named") if isinstance(quantized, dict) else quantized
        raise CheckpointError(
            f"{folder}: its weights were saved quantized ({method}, by transformers): load it with "
            "AutoModelForImageTextToText.from_pretrained, or give the folder that it was made from"
        )


def other_names(name: str) -> str:
    """The end of a message about an unknown model: what may have been meant, and what there is."""
    if name.lower() in RELEASED:
        return f": released weights are not packaged; {RELEASED[name.lower()]} is downloaded where you name it so"
    if (path := hub.parse(name)) is not None:  # it would have been looked up, were its first part not a folder here
        return f" here; a model of the Hub with this name would be {path.repo}@main"
    if name.lower() in SIZES:
        return f": {name} is a size without released weights; give the folder of a checkpoint"
    names = packaged()
    hint = close_name(name) or ";"
    known = f"packaged models are: {', '.join(names)}" if names else "no models are packaged in this installation"
    return f"{hint} {known}. Or give a checkpoint's folder, or org/name of the Hugging Face Hub"


def close_name(name: str) -> str:
    """ ", did you mean 'nano'?" where a packaged model has nearly this name, else ""."""
    close = difflib.get_close_matches(name, packaged(), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def check_quantization(wanted: str | None) -> Quantization | None:
    """The name of a quantization, or None. Raises InputError for an unknown name."""
    if wanted is not None and wanted not in get_args(Quantization):
        raise InputError(f"quantization {wanted!r} is not one of {', '.join(get_args(Quantization))}")
    return cast("Quantization | None", wanted)


def check_dtype(name: str | None) -> None:
    """Raises InputError: weights cannot have this type. None is the checkpoint's own."""
    if name is not None and name not in DTYPES:
        raise InputError(f"dtype {name!r}: use one of {', '.join(DTYPES)}")


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object. Raises CheckpointError where it is missing or anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: copy it there from the checkpoint's source") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not readable JSON ({reason(error)}): copy it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object: copy it again")
    return content

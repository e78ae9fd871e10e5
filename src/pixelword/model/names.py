"""Which models there are, by name or folder; imports nothing heavy, so that a mistake is answered at once."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from pixelword.errors import CheckpointError, InputError, reason

from .sizes import RELEASED, SIZES

#: Where the packaged models are, each in a folder of its own.
WEIGHTS = Path(__file__).parent.parent / "weights"
#: The types that weights may have.
DTYPES = ("float32", "bfloat16", "float16")
#: Where this file is, a folder holds what was changed in a packaged language model; see `delta`.
DELTA = "delta.json"


def is_delta(folder: Path) -> bool:
    """Whether the folder holds what was changed in a base, and no whole checkpoint."""
    return (folder / DELTA).is_file()


def packaged() -> tuple[str, ...]:
    """Names of the models inside this package."""
    return tuple(sorted(path.parent.name for path in WEIGHTS.glob("*/config.json")))


def resolve(name_or_dir: str | Path) -> Path:
    """The folder of a packaged model or of a checkpoint; a packaged name wins over a folder of the same name here.

    Raises:
        CheckpointError: there is neither, or the folder holds no config.json, an adapter instead of a model, or
            quantized weights.
    """
    if str(name_or_dir) in packaged():
        return WEIGHTS / str(name_or_dir)
    folder = Path(name_or_dir).expanduser()
    if folder.is_dir():
        if (folder / "adapter_config.json").is_file():  # transformers would load what it names instead
            raise CheckpointError(
                f"{folder} holds an adapter: load its base model and merge the adapter with peft first"
            )
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{folder} has no config.json: give the folder of a checkpoint")
        check_not_quantized(folder)
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder} is a file: give the folder that holds it, with its config.json")
    raise CheckpointError(f"there is no model {str(name_or_dir)!r}{other_names(str(name_or_dir))}")


def check_not_quantized(folder: Path) -> None:
    """Raises CheckpointError: config.json says that transformers saved the weights quantized."""
    if quantized := read_json(folder / "config.json").get("quantization_config"):
        method = quantized.get("quant_method", "a method not named") if isinstance(quantized, dict) else quantized
        raise CheckpointError(
            f"{folder}: its weights were saved quantized ({method}, by transformers): load it with "
            "AutoModelForImageTextToText.from_pretrained, or give the folder that it was made from"
        )


def other_names(name: str) -> str:
    """The end of a message about an unknown model: what may have been meant, and what there is."""
    if name.lower() in RELEASED:
        return (
            f": released weights are not packaged. Download them, `hf download {RELEASED[name.lower()]} --local-dir "
            f"neo-{name.lower()}`, and give that folder"
        )
    if name.lower() in SIZES:
        return f": {name} is a size without released weights; give the folder of a checkpoint"
    names = packaged()
    hint = close_name(name) or ";"
    known = f"packaged models are: {', '.join(names)}" if names else "no models are packaged in this installation"
    return f"{hint} {known}. Or give a checkpoint's folder"


def close_name(name: str) -> str:
    """ ", did you mean 'nano'?" where a packaged model has nearly this name, else ""."""
    close = difflib.get_close_matches(name, packaged(), 1)
    return f", did you mean {close[0]!r}?" if close else ""


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

"""Checkpoints in the released layout: checked before they are loaded, then loaded.

transformers only warns of missing and misshapen tensors, and goes on with random numbers in their place. Here the
headers of the safetensors files are compared with the network first, and nothing is loaded that is not whole. Weights
are read from safetensors alone (other formats are pickles, which run code), and no code of a checkpoint is ever run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from transformers import GenerationConfig

from pixelword.errors import CheckpointError
from pixelword.model.config import NeoOVConfig
from pixelword.model.family import check_family, check_tensors
from pixelword.model.meta import meta_model
from pixelword.model.modeling import NeoOVForConditionalGeneration

from . import hub
from .names import DELTA, DTYPES, check_dtype, check_not_quantized, read_json
from .safetensors_index import Entry, compared, read_entries, same_bytes
from .tensors import TYPES, mapped, read_tensor

_DTYPES = {name: getattr(torch, name) for name in DTYPES}
HEAD = "language_model.lm_head.weight"
_EMBEDDING = "language_model.model.embed_tokens.weight"
#: Besides the weights and config.json, what belongs to a checkpoint: tokenizer, processor, generation, card.
_COMPANIONS = ("*.json", "*.jinja", "*.txt", "*.md", "*.model", "LICENSE*")


def torch_dtype(wanted: str | torch.dtype | None) -> torch.dtype | None:
    """A dtype by name; None stays None, a checkpoint's own. Raises InputError for any other name."""
    if wanted is None or isinstance(wanted, torch.dtype):
        return wanted
    check_dtype(wanted)
    return _DTYPES[wanted]


def read_config(folder: Path) -> NeoOVConfig:
    """The configuration of a checkpoint's folder; `made_from` says which model of the Hub it is, where it is one.

    Raises CheckpointError: unreadable, or not a native model's.
    """
    path = folder / "config.json"
    content = read_json(path)
    check_family(content, path)
    content["model_type"] = NeoOVConfig.model_type  # NEO1_0-2B-PT has another one
    if (source := hub.origin(folder)) is not None:
        content["made_from"] = str(source)
    try:
        return NeoOVConfig.from_dict(content)
    except CheckpointError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a configuration of this model ({error}); mend the file") from error


def verify(
    folder: Path, model: torch.nn.Module, ignored: Callable[[str], bool] = lambda name: False
) -> dict[str, Entry]:
    """Compare every tensor of a checkpoint with a network, by the files' headers alone.

    Args:
        folder: a checkpoint's.
        model: with the names and shapes to find; the meta device is enough.
        ignored: says of a name that is in the files and not in the network that it does no harm.

    Returns:
        where each of the files' tensors is.

    Raises:
        CheckpointError: a file is missing, truncated or a pickle; a tensor is missing, misshapen, of a type that holds
            no weights, or not the model's.
    """
    entries = read_entries(folder)
    check_tensors(entries, folder)
    check_whole(folder, entries, model, ignored)
    return entries


def check_whole(
    folder: Path,
    entries: Mapping[str, Entry],
    model: torch.nn.Module,
    ignored: Callable[[str], bool] = lambda name: False,
) -> None:
    """As `verify`, of entries that are known."""
    problems = [item.problem for item in compared(entries, model, ignored) if item.problem]
    if problems:
        raise CheckpointError(
            f"{folder}: {_summary(problems)}: is it the right config.json, and was every file copied whole?"
        )


def _summary(problems: list[str], most: int = 3) -> str:
    more = f"; and {len(problems) - most} more like these" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more


def verified(folder: Path) -> tuple[NeoOVConfig, dict[str, Entry]]:
    """Configuration and tensors of a whole checkpoint; a tied head may be there, as a copy of the embedding.

    Raises CheckpointError: see `verify`.
    """
    config = read_config(folder)
    check_not_quantized(folder)
    entries = verify(folder, meta_model(config))
    if config.tie_word_embeddings and HEAD in entries and not same_bytes(entries[HEAD], entries[_EMBEDDING]):
        raise CheckpointError(
            f"{folder}: {HEAD} differs from {_EMBEDDING} although config.json sets tie_word_embeddings: "
            f"set it to false there, if both were trained"
        )
    return config, entries


def load_released(folder: Path, dtype: torch.dtype | None = None) -> NeoOVForConditionalGeneration:
    """The model of a whole checkpoint's folder, in evaluation mode; see `load.load_pretrained`.

    Raises CheckpointError: the folder holds no whole checkpoint; see `verify`.
    """
    config, entries = verified(folder)
    kind = dtype or own_dtype(config, entries)
    model = meta_model(config)
    if config.tie_word_embeddings:
        entries.pop(HEAD, None)
    fill(model, entries, kind)
    return ready(model, folder, kind)


def own_dtype(config: NeoOVConfig, entries: Mapping[str, Entry]) -> torch.dtype:
    """The type of a checkpoint's weights: what its configuration says, else the first of them."""
    named = torch_dtype(config.dtype)
    return named or next((TYPES[entry.dtype] for entry in entries.values() if entry.floating), torch.float32)


def fill(model: NeoOVForConditionalGeneration, entries: Mapping[str, Entry], dtype: torch.dtype) -> None:
    """Give a network on the meta device these tensors: mapped where they have the type, else read one by one."""
    same = {name: entry for name, entry in entries.items() if TYPES[entry.dtype] == dtype}
    state = mapped(same)
    state |= {name: read_tensor(entry, dtype) for name, entry in entries.items() if name not in same}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()


def ready(model: NeoOVForConditionalGeneration, folder: Path, dtype: torch.dtype) -> NeoOVForConditionalGeneration:
    """The model with its folder's generation settings, in evaluation mode."""
    model.config.dtype = dtype
    model.config.name_or_path = model.name_or_path = str(folder)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model.eval()


def carry(source: Path, whole: Path) -> None:
    """Copy tokenizer, processor, generation settings and card, without pointers to code."""
    for path in _companions(source):
        target = whole / path.name
        if path.suffix == ".json" and "auto_map" in (content := json.loads(path.read_text(encoding="utf-8"))):
            del content["auto_map"]
            target.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            shutil.copyfile(path, target)


def _companions(source: Path) -> Iterator[Path]:
    for pattern in _COMPANIONS:
        for path in sorted(source.glob(pattern)):
            if path.is_file() and path.name not in ("config.json", DELTA) and not path.name.endswith(".index.json"):
                yield path

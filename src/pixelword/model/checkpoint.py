"""Checkpoints in the released layout: finding them, checking them before they are loaded, loading and writing them.

transformers only warns of missing and misshapen tensors, and goes on with random numbers in their place. Here the
headers of the safetensors files are compared with the network first, and nothing is loaded that is not whole. Weights
are read from safetensors alone (other formats are pickles, which run code), and no code of a checkpoint is ever run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pixelword import machine
from pixelword.errors import CheckpointError
from pixelword.utils.files import whole_folder

from . import hub
from .configuration import NeoOVConfig
from .facts import count_parameters
from .family import check_family, check_tensors
from .inspection import compared
from .meta import meta_model
from .modeling import NeoOVForConditionalGeneration
from .names import DELTA, DTYPES, check_dtype, check_not_quantized, is_delta, read_json, resolve
from .self_check import check_versions
from .tensor_files import Entry, read_entries, same_bytes

_DTYPES = {name: getattr(torch, name) for name in DTYPES}
_HEAD = "language_model.lm_head.weight"
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
    problems = [one.problem for one in compared(entries, model, ignored) if one.problem]
    if problems:
        raise CheckpointError(
            f"{folder}: {_told(problems)}: is it the right config.json, and was every file copied whole?"
        )
    return entries


def _told(problems: list[str], most: int = 3) -> str:
    more = f"; and {len(problems) - most} more like these" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more


def _verified(folder: Path) -> tuple[NeoOVConfig, dict[str, Entry]]:
    """Configuration and tensors of a whole checkpoint; a tied head may be there, as a copy of the embedding."""
    config = read_config(folder)
    check_not_quantized(folder)
    entries = verify(folder, meta_model(config))
    if config.tie_word_embeddings and _HEAD in entries and not same_bytes(entries[_HEAD], entries[_EMBEDDING]):
        raise CheckpointError(
            f"{folder}: {_HEAD} differs from {_EMBEDDING} although config.json says tie_word_embeddings: "
            f"set it to false there, if both were trained"
        )
    return config, entries


def load_pretrained(
    name_or_dir: str | Path, *, dtype: str | torch.dtype | None = None, device: str | torch.device | None = None
) -> NeoOVForConditionalGeneration:
    """A model from a packaged name or a folder, ready to answer (in evaluation mode).

    Args:
        name_or_dir: as for `resolve`.
        dtype: of the weights; None keeps the checkpoint's own.
        device: where to put it; None leaves it on the CPU.

    Raises:
        CheckpointError: there is no such checkpoint, or it is not whole; see `verify`.
        InputError: there is no such dtype.
        VersionError: an installed package is newer than the tested ones, and answers would be wrong.
    """
    kind = torch_dtype(dtype)
    folder = resolve(name_or_dir)
    if is_delta(folder):
        from .delta import load_delta

        model = load_delta(folder, kind)
    else:
        config, _ = _verified(folder)
        model = NeoOVForConditionalGeneration.from_pretrained(
            folder, config=config, dtype=kind or "auto", use_safetensors=True, local_files_only=True
        )
    if device is not None:
        model.to(torch.device(device))
    check_versions(model.eval())
    return model


def best_dtype(folder: Path, device: torch.device) -> torch.dtype | None:
    """What to load a checkpoint's weights in, to answer on a device: None for their own type, else float32, where a CPU
    only emulates that (see `machine.default_dtype`).

    Raises CheckpointError: the folder holds no checkpoint.
    """
    config = read_config(folder)
    stored = {"BF16": torch.bfloat16, "F16": torch.float16}
    own = torch_dtype(config.dtype)
    if own is None and not is_delta(folder):
        own = next((stored.get(entry.dtype) for entry in read_entries(folder).values() if entry.floating), None)
    if device.type != "cpu" or own is None or machine.is_native(own):
        return None
    best = machine.default_dtype(own, sum(count_parameters(config).values()), device)
    return None if best == own else best


def convert(source: str | Path, destination: str | Path, dtype: str | torch.dtype | None = None) -> None:
    """Rewrite a checkpoint in the released layout, one file at a time, so that memory holds no more than one.

    Tensors are the same bit for bit unless `dtype` is given. Tokenizer, processor, generation settings and card go
    along; code and `auto_map`, which would point to it, do not. The destination appears only once it is whole.

    Args:
        source: as for `resolve`.
        destination: a folder that is new or empty.
        dtype: to write the weights in.

    Raises:
        CheckpointError: the source is not whole, or the destination is not empty.
    """
    kind = torch_dtype(dtype)
    with whole_folder(Path(destination)) as whole:
        folder = resolve(source)
        if is_delta(folder):
            carry(folder, whole)
            load_pretrained(folder, dtype=kind).save_pretrained(whole)
            return
        config, entries = _verified(folder)
        if kind is not None:
            config.dtype = kind
        carry(folder, whole)
        # A tied head is a copy that the released layout leaves out.
        left_out = {_HEAD} if config.tie_word_embeddings else set()
        _write_tensors(whole, {name: entry for name, entry in entries.items() if name not in left_out}, kind)
        config.save_pretrained(whole)


def _write_tensors(whole: Path, entries: dict[str, Entry], dtype: torch.dtype | None) -> None:
    """Each file of the source as one of the same name, and their index where there are several."""
    files: dict[Path, list[str]] = {}
    for name, entry in entries.items():
        files.setdefault(entry.file, []).append(name)
    single, size = len(files) == 1, 0
    for file, names in files.items():
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in names}
        if dtype is not None:
            tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
        size += sum(tensor.nbytes for tensor in tensors.values())
        save_file(tensors, whole / ("model.safetensors" if single else file.name), metadata={"format": "pt"})
    if not single:
        index = {
            "metadata": {"total_size": size},
            "weight_map": {name: entry.file.name for name, entry in entries.items()},
        }
        (whole / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


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

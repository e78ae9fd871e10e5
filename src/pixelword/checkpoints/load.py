"""Loads and rewrites checkpoints of any kind; the only module that distinguishes the kinds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pixelword import machine
from pixelword.model.footprint import count_parameters
from pixelword.model.modeling import NeoOVForConditionalGeneration
from pixelword.model.self_check import check_versions
from pixelword.utils.files import whole_folder

from .delta import load_delta
from .names import is_delta, resolve
from .released import HEAD, carry, load_released, read_config, torch_dtype, verified
from .safetensors_index import Entry, read_entries


def load_pretrained(
    name_or_dir: str | Path, *, dtype: str | torch.dtype | None = None, device: str | torch.device | None = None
) -> NeoOVForConditionalGeneration:
    """A model from a packaged name or a folder, ready to answer (in evaluation mode).

    Args:
        name_or_dir: as for `names.resolve`.
        dtype: of the weights; None keeps the checkpoint's own.
        device: where to put it; None leaves it on the CPU.

    Raises:
        CheckpointError: a missing or incomplete checkpoint; see `released.verify`.
        InputError: unknown dtype.
        VersionError: an installed package is newer than the tested ones, and answers would be wrong.
    """
    kind = torch_dtype(dtype)
    folder = resolve(name_or_dir)
    model = load_delta(folder, kind) if is_delta(folder) else load_released(folder, kind)
    if device is not None:
        model.to(torch.device(device))
    check_versions(model)
    return model


def stored_dtype(folder: Path) -> torch.dtype | None:
    """The dtype of a checkpoint's weights: what its configuration says, else the first weights; None for other types.

    Only headers are read, and a folder without weights (`names.resolve(…, weights=False)`) has its configuration alone.

    Raises CheckpointError: the folder holds no checkpoint.
    """
    named = torch_dtype(read_config(folder).dtype)
    if named is not None or is_delta(folder):
        return named
    stored = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
    return next((stored.get(entry.dtype) for entry in read_entries(folder).values() if entry.floating), None)


def best_dtype(folder: Path, device: torch.device) -> torch.dtype | None:
    """What to load a checkpoint's weights in, to answer on a device: None for their own type, else float32, where a CPU
    only emulates that (see `machine.default_dtype`).

    Raises CheckpointError: the folder holds no checkpoint.
    """
    config, own = read_config(folder), stored_dtype(folder)
    if device.type != "cpu" or own is None or machine.is_native(own):
        return None
    best = machine.default_dtype(own, sum(count_parameters(config).values()), device)
    return None if best == own else best


def convert(source: str | Path, destination: str | Path, dtype: str | torch.dtype | None = None) -> None:
    """Rewrite a checkpoint in the released layout, file by file, so that memory holds at most one.

    Tensors are the same bit for bit unless `dtype` is given. Tokenizer, processor, generation settings and card go
    along; code and `auto_map`, which would point to it, do not. The destination appears only once it is whole.

    Args:
        source: as for `names.resolve`.
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
        config, entries = verified(folder)
        if kind is not None:
            config.dtype = kind
        carry(folder, whole)
        # A tied head is a copy that the released layout leaves out.
        left_out = {HEAD} if config.tie_word_embeddings else set()
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

"""Loads and rewrites checkpoints of any kind; the only module that distinguishes the kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pixelword import machine
from pixelword.model.footprint import count_parameters, weight_bytes
from pixelword.model.modeling import NeoOVForConditionalGeneration
from pixelword.model.self_check import check_versions
from pixelword.utils.files import whole_folder

from .compressed import finish, pieces
from .delta import load_delta
from .names import Quantization, check_quantization, is_delta, resolve, stored_quantization
from .released import HEAD, carry, load_released, read_config, torch_dtype, verified
from .rounding import round_matrix
from .safetensors_index import Entry, read_entries
from .tensors import mapped

#: Ends of the names of the layers' matrices.
_MATRICES = ("_proj.weight", "_proj_hw.weight")


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


def best_dtype(folder: Path, device: torch.device, quantization: Quantization | None = None) -> torch.dtype | None:
    """What to load a checkpoint's weights in, to answer on a device: None for their own type, else float32, where a CPU
    only emulates that (see `machine.default_dtype`).

    quantization: What the matrices are rounded to while they are read: then float32 is of the activations alone.

    Raises CheckpointError: the folder holds no checkpoint.
    """
    config, own = read_config(folder), stored_dtype(folder)
    if device.type != "cpu" or own is None or machine.is_native(own):
        return None
    size = None if quantization is None else weight_bytes(config, int(quantization[-1]))
    best = machine.default_dtype(own, sum(count_parameters(config).values()), device, size=size)
    return None if best == own else best


def is_mixed(folder: Path, device: torch.device) -> bool:
    """Whether weights are best held in their type and computed with in float32; see `machine.mixed_pays`.

    Raises CheckpointError: the folder holds no checkpoint.
    """
    if is_delta(folder) or stored_quantization(folder) is not None:
        return False
    if (own := stored_dtype(folder)) is None:
        return False
    return machine.mixed_pays(own, sum(count_parameters(read_config(folder)).values()), device)


def convert(
    source: str | Path,
    destination: str | Path,
    dtype: str | torch.dtype | None = None,
    quantize: Quantization | None = None,
) -> None:
    """Rewrite a checkpoint in the released layout, file by file, so that memory holds at most one.

    Tensors are the same bit for bit unless `dtype` or `quantize` is given. Tokenizer, processor, generation settings
    and card go along; code and `auto_map`, which would point to it, do not. The destination appears once it is whole.

    Args:
        source: as for `names.resolve`.
        destination: a folder that is new or empty.
        dtype: to write the weights in; with `quantize`, those that are not rounded.
        quantize: round the layers' matrices; see `compressed`.

    Raises:
        CheckpointError: the source is not whole or quantized, or the destination is not empty.
        InputError: the quantization is unknown.
    """
    change = _Change(torch_dtype(dtype), check_quantization(quantize))
    with whole_folder(Path(destination)) as whole:
        folder = resolve(source)
        if is_delta(folder):
            model = load_pretrained(folder, dtype=change.dtype)
            config, tied = model.config, model.config.tie_word_embeddings
            state = {name: tensor for name, tensor in model.state_dict().items() if not (tied and name == HEAD)}
            save_file(change.all(state), whole / "model.safetensors", metadata={"format": "pt"})
        else:
            config, entries = verified(folder)
            # A tied head is a copy that the released layout leaves out.
            left_out = {HEAD} if config.tie_word_embeddings else set()
            _write_tensors(whole, {name: entry for name, entry in entries.items() if name not in left_out}, change)
        if change.dtype is not None:
            config.dtype = change.dtype
        carry(folder, whole)
        config.save_pretrained(whole)
        if quantize is not None:
            finish(whole, quantize, change.rounded, getattr(config, "made_from", None) or str(source))


class _Change:
    """What a conversion does to each tensor.

    Attributes:
        rounded: (bits, group) of each module whose matrix was rounded so far.
    """

    def __init__(self, dtype: torch.dtype | None, quantize: Quantization | None) -> None:
        self.dtype, self.quantize = dtype, quantize
        self.rounded: dict[str, tuple[int, int]] = {}

    def all(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is written in their place."""
        written: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            if self.quantize is not None and name.endswith(_MATRICES):
                matrix = round_matrix(tensor, self.quantize)
                self.rounded[name.removesuffix(".weight")] = (matrix.bits, matrix.group)
                written |= pieces(name, matrix)
            else:
                written[name] = tensor.contiguous() if self.dtype is None else tensor.to(self.dtype).contiguous()
        return written


def _write_tensors(whole: Path, entries: dict[str, Entry], change: _Change) -> None:
    """Each file of the source as one of the same name, and their index where there are several."""
    files: dict[Path, dict[str, Entry]] = {}
    for name, entry in entries.items():
        files.setdefault(entry.file, {})[name] = entry
    single, size = len(files) == 1, 0
    places: dict[str, str] = {}
    for file, own in files.items():
        tensors = change.all(mapped(own))
        size += sum(tensor.nbytes for tensor in tensors.values())
        places |= dict.fromkeys(tensors, file.name)
        save_file(tensors, whole / ("model.safetensors" if single else file.name), metadata={"format": "pt"})
    if not single:
        index = {"metadata": {"total_size": size}, "weight_map": places}
        (whole / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")

"""A model ready to answer, with as little memory as it can be loaded in."""

from __future__ import annotations

from pathlib import Path

import torch

from pixelword.checkpoints.adapter import merge_adapter
from pixelword.checkpoints.load import best_dtype, is_mixed, load_pretrained
from pixelword.checkpoints.matrices import load_mixed, open_matrices
from pixelword.checkpoints.names import Quantization, check_quantization, is_delta, resolve, stored_quantization
from pixelword.checkpoints.released import torch_dtype
from pixelword.errors import InputError
from pixelword.generation.mixed import hold_small
from pixelword.generation.prepared_weights import prepare
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.model.self_check import check_versions


def load_model(
    name_or_dir: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    device: torch.device | None = None,
    adapter: str | Path | None = None,
    quantize: Quantization | None = None,
) -> NeoOVForConditionalGeneration:
    """The model of `session.load`, in evaluation mode.

    Weights of the files' type stay mapped; others are cast one by one. With `quantize` a layer is read and rounded
    before the next one is, so that the whole weights are never held.

    Raises:
        CheckpointError: unknown model, or incomplete checkpoint files.
        InputError: unknown dtype or quantization, or one that this device does not support.
    """
    check_quantization(quantize)
    folder, place = resolve(name_or_dir), device or torch.device("cpu")
    if dtype is None and quantize is None and adapter is None and is_mixed(folder, place):
        model = load_mixed(folder)
        hold_small(model)
        check_versions(model)
        return model
    if (stored := stored_quantization(folder)) is not None:
        _check_stored(folder, stored, quantize, adapter, place)
        quantize = stored
    at_once = quantize is None or adapter is not None or is_delta(folder) or place.type != "cpu"
    kind = torch_dtype(dtype) or best_dtype(folder, place, None if at_once else quantize)
    if at_once:
        model = load_pretrained(folder, dtype=kind, device=place)
        if adapter is not None:
            merge_adapter(model, Path(adapter))
        if quantize is not None:
            prepare(model, quantization=quantize)
        return model
    model, weights = open_matrices(folder, kind)
    prepare(model, quantization=quantize, weights=weights)
    check_versions(model)
    return model


def _check_stored(
    folder: Path, stored: Quantization, quantize: Quantization | None, adapter: object, place: torch.device
) -> None:
    """Raises InputError: weights that are quantized already shall be something else."""
    if quantize not in (None, stored):
        raise InputError(f"{folder}: its weights are {stored} already and cannot become {quantize}: leave it out")
    if adapter is not None:
        raise InputError(
            f"{folder}: an adapter cannot be merged into {stored} weights: give the checkpoint that they were made from"
        )
    if place.type != "cpu":
        raise InputError(
            f"{folder}: its {stored} weights answer on a CPU: --device cpu, or load it with "
            "AutoModelForImageTextToText.from_pretrained and the package compressed-tensors"
        )

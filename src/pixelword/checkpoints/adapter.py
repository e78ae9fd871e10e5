"""A LoRA adapter in PEFT's format, merged into the weights of the model that it belongs to; PEFT is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pixelword.errors import CheckpointError, reason

from .names import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter, read_json

_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


@torch.no_grad()
def merge_adapter(model: nn.Module, folder: Path) -> None:
    """Add the adapter to the model's weights, in place: W + scale * B A, and what was trained in full beside it.

    Raises:
        CheckpointError: a missing adapter, or an adapter of another model.
    """
    check_adapter(folder)
    config = read_json(folder / ADAPTER_CONFIG)
    try:
        tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in load_file(folder / ADAPTER_WEIGHTS).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / ADAPTER_WEIGHTS} cannot be read ({reason(error)}): copy it again") from error
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in tensors.items():
        if name.endswith(_UP):
            continue
        if not name.endswith(_DOWN):
            _parameter(parameters, name, tuple(tensor.shape), folder).copy_(tensor)
            continue
        module = name.removesuffix(_DOWN)
        up = tensors.get(module + _UP)
        if up is None:
            raise CheckpointError(f"{folder / ADAPTER_WEIGHTS} has no {module + _UP}: copy it again")
        weight = _parameter(parameters, f"{module}.weight", (up.shape[0], tensor.shape[1]), folder)
        change = _scale(config, module, tensor) * (up.float() @ tensor.float())
        weight.copy_((weight.float() + change.to(weight.device)).to(weight.dtype))


def _parameter(parameters: dict[str, nn.Parameter], name: str, shape: tuple[int, ...], folder: Path) -> Tensor:
    found = parameters.get(name)
    if found is None or tuple(found.shape) != shape:
        what = "it has none" if found is None else f"its shape is {tuple(found.shape)}, not {shape}"
        base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
        raise CheckpointError(f"{folder} belongs to another model ({name}: {what}); it was made for {base}")
    return found


def _scale(config: dict[str, Any], module: str, down: Tensor) -> float:
    rank = down.shape[0]
    alpha = next((value for key, value in (config.get("alpha_pattern") or {}).items() if module.endswith(key)), None)
    alpha = config["lora_alpha"] if alpha is None else alpha
    return alpha / rank**0.5 if config.get("use_rslora") else alpha / rank

"""A checkpoint opened for quantization: its large matrices are read when they are wanted, one after another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelword.model.config import NeoOVConfig
from pixelword.model.meta import meta_model
from pixelword.model.modeling import NeoOVForConditionalGeneration

from .compressed import as_plain, read_rounded
from .names import stored_quantization
from .released import HEAD, check_whole, fill, own_dtype, read_config, ready, verified
from .rounding import Rounded
from .safetensors_index import Entry, read_entries
from .tensors import mapped, read_tensor

_TABLE = "language_model.model.embed_tokens.weight"


def open_matrices(
    folder: Path, dtype: torch.dtype | None = None
) -> tuple[NeoOVForConditionalGeneration, Callable[[nn.Linear], Tensor | Rounded]]:
    """A whole checkpoint's model without the matrices of its layers and head, and what reads each of these.

    The table of words has its stored type, whatever the others have.

    Args:
        folder: a checkpoint's in the released layout.
        dtype: of norms and the patch embedding; None takes the checkpoint's own.

    Raises CheckpointError: see `released.verify`.
    """
    config, entries = _opened(folder)
    kind = dtype or own_dtype(config, entries)
    model = meta_model(config)
    names = {module: f"{name}.weight" for name, module in model.named_modules() if type(module) is nn.Linear}
    if config.tie_word_embeddings:
        entries.pop(HEAD, None)
    matrices = (*names.values(), _TABLE)
    rest = {name: entry for name, entry in entries.items() if not name.startswith(matrices)}
    fill(model, rest, kind)
    model.load_state_dict(mapped({_TABLE: entries[_TABLE]}), strict=False, assign=True)
    model.tie_weights()

    def weight(linear: nn.Linear) -> Tensor | Rounded:
        name = names[linear]
        if (rounded := read_rounded(entries, name)) is not None:
            return rounded
        return read_tensor(entries[name]) if name in entries else linear.weight  # a tied head is the table

    return ready(model, folder, kind), weight


def load_mixed(folder: Path) -> NeoOVForConditionalGeneration:
    """A whole checkpoint's model with its matrices and table in their stored type, mapped, and the rest in float32.

    Raises CheckpointError: see `released.verified`.
    """
    model, weights = open_matrices(folder, torch.float32)
    for module in model.modules():
        if type(module) is nn.Linear:
            matrix = weights(module)
            assert isinstance(matrix, Tensor), "of a plain checkpoint"
            module.weight = nn.Parameter(matrix, requires_grad=False)
    model.tie_weights()
    return model


def _opened(folder: Path) -> tuple[NeoOVConfig, dict[str, Entry]]:
    """Configuration and tensors of a whole checkpoint, plain or as `convert --quantize` wrote it."""
    if stored_quantization(folder) is None:
        return verified(folder)
    config, entries = read_config(folder), read_entries(folder)
    check_whole(folder, as_plain(entries), meta_model(config))
    return config, entries

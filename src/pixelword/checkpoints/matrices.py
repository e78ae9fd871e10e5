"""A checkpoint opened for quantization: its large matrices are read when they are wanted, one after another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelword.model.meta import meta_model
from pixelword.model.modeling import NeoOVForConditionalGeneration

from .released import HEAD, fill, own_dtype, ready, verified
from .tensors import mapped, read_tensor

_TABLE = "language_model.model.embed_tokens.weight"


def open_matrices(
    folder: Path, dtype: torch.dtype | None = None
) -> tuple[NeoOVForConditionalGeneration, Callable[[nn.Linear], Tensor]]:
    """A whole checkpoint's model without the matrices of its layers and head, and what reads each of these.

    The table of words has its stored type, whatever the others have.

    Args:
        folder: a checkpoint's in the released layout.
        dtype: of norms and the patch embedding; None takes the checkpoint's own.

    Raises CheckpointError: see `released.verify`.
    """
    config, entries = verified(folder)
    kind = dtype or own_dtype(config, entries)
    model = meta_model(config)
    names = {module: f"{name}.weight" for name, module in model.named_modules() if type(module) is nn.Linear}
    if config.tie_word_embeddings:
        entries.pop(HEAD, None)
    rest = {name: entry for name, entry in entries.items() if name not in (*names.values(), _TABLE)}
    fill(model, rest, kind)
    model.load_state_dict(mapped({_TABLE: entries[_TABLE]}), strict=False, assign=True)
    model.tie_weights()

    def weight(linear: nn.Linear) -> Tensor:
        entry = entries.get(names[linear])
        return linear.weight if entry is None else read_tensor(entry)  # a tied head is the table

    return ready(model, folder, kind), weight

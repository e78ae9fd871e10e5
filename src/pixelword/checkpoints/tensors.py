"""The tensors of safetensors files, each mapped where it is, or read and cast a piece at a time: never held twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from pixelword.errors import CheckpointError

from .safetensors_index import Entry

#: safetensors' names of the types that weights are stored in.
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I8": torch.int8,
    "I32": torch.int32,
    "I64": torch.int64,
}
#: Bytes read at once where a tensor is cast.
_STEP = 1 << 24


def mapped(entries: dict[str, Entry]) -> dict[str, Tensor]:
    """The tensors in the files' own memory: a page is read when it is first used, and changed in this process alone."""
    opened: dict[Path, Any] = {}
    found = {}
    for name, entry in entries.items():
        if entry.file not in opened:
            opened[entry.file] = safe_open(entry.file, framework="pt")
        found[name] = opened[entry.file].get_tensor(name)
    return found


def read_tensor(entry: Entry, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor in memory of its own; None keeps its type.

    Raises CheckpointError: the file ends before the tensor does.
    """
    own = TYPES[entry.dtype]
    whole = torch.empty(entry.shape, dtype=dtype or own)
    flat = whole.view(-1)
    step = min(_STEP // own.itemsize, flat.numel())
    piece = torch.empty(step if whole.dtype != own else 0, dtype=own)
    with entry.file.open("rb", buffering=0) as file:
        file.seek(entry.begin)
        for start in range(0, flat.numel(), max(step, 1)):
            target = flat[start : start + step]
            if whole.dtype == own:
                _fill(file, target, entry)
            else:
                _fill(file, piece[: len(target)], entry)
                target.copy_(piece[: len(target)])
    return whole


def _fill(file: Any, tensor: Tensor, entry: Entry) -> None:
    """Read a contiguous tensor's bytes from the file's place."""
    left: memoryview = tensor.view(torch.uint8).numpy().data
    while left:
        count = file.readinto(left)
        if not count:
            raise CheckpointError(f"{entry.file} is truncated: copy it again")
        left = left[count:]

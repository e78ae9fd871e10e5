"""Where checkpoints, images and golden values are, and how they are read."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from .conversations import CONVERSATIONS, IMAGES, patches
from .types import Array, Inputs

HERE = Path(__file__).parent
CHECKPOINTS, GOLDEN, RELEASED = HERE / "checkpoints", HERE / "golden", HERE / "released"
TINY = ("tiny-untied", "tiny-tied")
#: Random models whose values the released code computed. They have no tokenizer.
RELEASED_MODELS = ("a", "b")
__all__ = ["CHECKPOINTS", "GOLDEN", "IMAGES", "RELEASED"]


@cache
def tensors(path: Path) -> dict[str, Array]:
    """A file's tensors; not to be written to."""
    return load_file(path)


def grouped(path: Path) -> dict[str, dict[str, Array]]:
    """Tensors named CASE.KEY, by case."""
    found: dict[str, dict[str, Array]] = {}
    for name, tensor in tensors(path).items():
        case, _, key = name.partition(".")
        found.setdefault(case, {})[key] = tensor
    return found


@cache
def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def tiny_inputs(case: str, golden: dict[str, Array]) -> Inputs:
    """The prepared prompt of a tiny checkpoint's case."""
    conversation = next(item for item in CONVERSATIONS if item.name == case)
    found = [patches(IMAGES / file) for file in conversation.images]
    if not found:
        return Inputs(golden["input_ids"])
    grids = np.array([grid for _, grid in found], np.int64)
    return Inputs(golden["input_ids"], np.concatenate([values for values, _ in found]), grids)

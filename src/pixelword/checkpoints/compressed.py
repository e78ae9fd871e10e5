"""Quantized checkpoints, as `convert --quantize` writes them: the format of compressed-tensors, which vLLM reads too.

The layers' matrices are rounded; table, head, norms and the patch embedding are as they were. A key of config.json says
that a folder is one of these, so that others' are not taken for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelword.errors import CheckpointError

from .names import QUANTIZED, Quantization
from .rounding import Rounded
from .safetensors_index import Entry
from .tensors import read_tensor

#: 4-bit numbers side by side in an int32, the first in the lowest bits.
_EACH = 8
_SHIFTS = torch.arange(0, 4 * _EACH, 4, dtype=torch.int32)
_FORMATS = {8: "int-quantized", 4: "pack-quantized"}


def pieces(name: str, rounded: Rounded) -> dict[str, Tensor]:
    """The tensors that stand for `name`, a matrix's."""
    if rounded.zero is None:
        return {name: rounded.numbers, f"{name}_scale": rounded.scale[:, None].clone()}
    return {
        f"{name}_packed": _packed(rounded.numbers),
        f"{name}_scale": rounded.scale,
        f"{name}_zero_point": _packed(rounded.zero.T).T.contiguous(),
        f"{name}_shape": torch.tensor(rounded.numbers.shape),
    }


def read_rounded(entries: Mapping[str, Entry], name: str) -> Rounded | None:
    """The matrix `name` from its pieces; None where it was not rounded."""
    if f"{name}_scale" not in entries:
        return None
    scale = read_tensor(entries[f"{name}_scale"])
    if name in entries:
        return Rounded(read_tensor(entries[name]), scale[:, 0])
    numbers = _unpacked(read_tensor(entries[f"{name}_packed"]))
    return Rounded(numbers, scale, _unpacked(read_tensor(entries[f"{name}_zero_point"]).T).T.contiguous())


def as_plain(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The tensors of a plain checkpoint, for comparing headers: what was rounded has the type int8 or int4.

    The bytes of such an entry are its numbers'.

    Raises CheckpointError: a matrix lacks one of its pieces.
    """
    plain: dict[str, Entry] = {}
    scales = {name.removesuffix("_scale") for name in entries if name.endswith(".weight_scale")}
    ends = [f"{name}{end}" for name in scales for end in ("_scale", "_packed", "_zero_point", "_shape")]
    plain = {name: entry for name, entry in entries.items() if name not in (set(ends) | scales)}
    for name in sorted(scales):
        packed = f"{name}_packed" in entries
        for piece in (f"{name}_packed", f"{name}_zero_point") if packed else (name,):
            if piece not in entries:
                raise CheckpointError(f"{entries[f'{name}_scale'].file.parent}: {piece} is missing: copy it again")
        entry = entries[f"{name}_packed" if packed else name]
        rows, columns = entry.shape
        shape = (rows, columns * (_EACH if packed else 1))
        plain[name] = Entry(entry.file, "int4" if packed else "int8", shape, entry.begin, entry.end)
    return plain


def settings(matrices: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """config.json's `quantization_config`, from the bits and the group of each module that was rounded."""
    kinds = sorted(set(matrices.values()), key=lambda kind: -sum(kind == other for other in matrices.values()))
    groups = {}
    for number, (bits, group) in enumerate(kinds):
        names = [name for name, kind in matrices.items() if kind == (bits, group)]
        weights = {"num_bits": bits, "type": "int", "symmetric": bits == 8, "dynamic": False}
        weights |= {"strategy": "channel"} if bits == 8 else {"strategy": "group", "group_size": group}
        targets = ["Linear"] if number == 0 else names  # a name goes before a class
        groups[f"group_{number}"] = {"targets": targets, "weights": weights, "format": _FORMATS[bits]}
    formats = {_FORMATS[bits] for bits, _ in kinds}
    return {
        "quant_method": "compressed-tensors",
        "format": formats.pop() if len(formats) == 1 else "mixed-precision",
        "quantization_status": "compressed",
        "ignore": ["language_model.lm_head", "lm_head"],
        "config_groups": groups,
    }


def finish(whole: Path, quantization: Quantization, matrices: Mapping[str, tuple[int, int]], source: str) -> None:
    """Say in config.json and in the card what the folder is."""
    path = whole / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {QUANTIZED: quantization, "quantization_config": settings(matrices)}
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    card = whole / "README.md"
    before = card.read_text(encoding="utf-8").rstrip() + "\n\n" if card.is_file() else ""
    card.write_text(before + _CARD.format(quantization=quantization, bits=quantization[-1], source=source))


_CARD = """\
## This copy: {quantization}

`pixelword convert --quantize {quantization}` rounded the layers' matrices of {source} to {bits} bits; the rest is
unchanged. The format is compressed-tensors. Pixelword answers with it on a CPU, where it rounds the head as well;
transformers reads it with the package compressed-tensors. It cannot be trained: for that, take {source}.
"""


def _packed(numbers: Tensor) -> Tensor:
    """(rows, columns) uint8 from 0 to 15 -> (rows, columns / 8) int32."""
    wide = numbers.unflatten(1, (-1, _EACH)).to(torch.int32)
    return (wide << _SHIFTS).sum(-1, dtype=torch.int32)


def _unpacked(packed: Tensor) -> Tensor:
    """The inverse of `_packed`, a few rows at a time."""
    numbers = torch.empty(packed.shape[0], packed.shape[1] * _EACH, dtype=torch.uint8)
    step = max((1 << 17) // numbers.shape[1], 1)
    for start in range(0, len(numbers), step):
        shifted = packed[start : start + step, :, None] >> _SHIFTS
        numbers[start : start + step].copy_(shifted.bitwise_and_(15).flatten(1))
    return numbers

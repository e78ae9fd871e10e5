"""What a GGUF file says and where its tensors are: its header alone, read in tenths of a second.

gguf's own reader makes arrays of every string of a vocabulary, which takes longer than all weights do. The format:
magic, version, counts; keys with typed values; names, shapes, types and offsets of tensors; aligned, their bytes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelword.errors import CheckpointError

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_STRING, _ARRAY = 8, 9
#: struct's letters of the scalar types, by their numbers.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_ALIGNMENT = 32  # where general.alignment does not say otherwise


@dataclass(frozen=True)
class Header:
    """The keys with their values (arrays as lists), and per tensor its shape, outermost axis first, type and place."""

    values: dict[str, Any]
    tensors: dict[str, tuple[tuple[int, ...], int, int]]


class _Cursor:
    """A place in the file's bytes that moves on with what is read."""

    def __init__(self, content: np.ndarray) -> None:
        self.content, self.place = content.data, 0

    def numbers(self, letters: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{letters}", self.content, self.place)
        self.place += struct.calcsize(f"<{letters}")
        return found

    def string(self) -> str:
        (length,) = self.numbers("Q")
        begin, self.place = self.place, self.place + length
        if self.place > len(self.content):
            raise ValueError(f"a string of {length:,} bytes goes beyond its end")
        return str(self.content[begin : self.place], "utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.numbers(_SCALARS[kind])[0]
        inner, length = self.numbers("IQ")
        if inner in _SCALARS:
            return list(self.numbers(f"{length}{_SCALARS[inner]}"))
        return [self.value(inner) for _ in range(length)]


def read_header(content: np.ndarray, path: Path) -> Header:
    """Read the header of a file's bytes, (size,) uint8. Raises CheckpointError: no GGUF file, or only a part of one."""
    cursor = _Cursor(content)
    try:
        if bytes(content[:4]) != _MAGIC:
            raise ValueError(f"it begins with {bytes(content[:4])!r}")
        _, version, tensors, keys = cursor.numbers("4sIQQ")
        if version not in _VERSIONS:
            raise ValueError(f"version {version}; known are {_VERSIONS}")
        values: dict[str, Any] = {}
        for _ in range(keys):
            name = cursor.string()
            values[name] = cursor.value(cursor.numbers("I")[0])
        found = {}
        for _ in range(tensors):
            name = cursor.string()
            shape = cursor.numbers(f"{cursor.numbers('I')[0]}Q")[::-1]
            found[name] = (shape, *cursor.numbers("IQ"))
    except (struct.error, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a whole GGUF file ({error}): copy it again") from error
    step = values.get("general.alignment", _ALIGNMENT)
    start = math.ceil(cursor.place / step) * step
    return Header(values, {name: (shape, kind, start + offset) for name, (shape, kind, offset) in found.items()})


def read_tensors(content: np.ndarray, header: Header, path: Path) -> dict[str, np.ndarray]:
    """Every tensor in float32, dequantized; arrays of their own. Raises CheckpointError: a type, a truncated file."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quant_shape_to_byte_shape

    numbers: dict[str, np.ndarray] = {}
    for name, (shape, kind, begin) in header.tensors.items():
        try:
            known = GGMLQuantizationType(kind)
            rows = quant_shape_to_byte_shape(shape, known)
            end = begin + math.prod(rows)
            if end > len(content):
                raise ValueError(f"it is truncated: {len(content):,} bytes of {end:,}")
            # a copy: plain floats would be a view of the file, which may go away
            numbers[name] = np.array(dequantize(content[begin:end].reshape(rows), known), dtype=np.float32)
        except (NotImplementedError, ValueError) as error:
            raise CheckpointError(f"{path}: {name} cannot be read ({error}): copy it again, or take another") from error
    return numbers

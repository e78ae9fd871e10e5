"""Tables that pandas pickled, read without pandas and without running what a pickle may name.

A pickle is a program. This reader knows the few classes that a table of numbers and words is made of, as data; a pickle
that asks for any other is refused.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class Unreadable(Exception):
    """Not a pickle of a plain table."""


class _Frame:
    """Stands for DataFrame and its manager: keeps what they were made of."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        self.parts, self.state = parts, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _index(cls: Any, fields: dict[str, Any]) -> list[Any]:
    """The labels of an axis."""
    if "data" in fields:
        return [str(item) for item in np.asarray(fields["data"]).tolist()]
    return list(range(fields["start"], fields["stop"], fields["step"]))


def _block(values: Any, placement: Any, ndim: int) -> tuple[Any, Any]:
    return values, placement


def _from_buffer(buffer: Any, dtype: Any, shape: Sequence[int], order: str) -> npt.NDArray[Any]:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="C" if order == "C" else "F")


def _reconstruct(subtype: Any, shape: Any, kind: Any) -> npt.NDArray[Any]:
    """An empty array, filled from the pickle's state afterwards."""
    return np.ndarray(shape, dtype="b")


#: What a table may name -> what is made in its place.
_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _Frame,
    ("pandas._libs.internals", "_unpickle_block"): _block,
    ("pandas.core.indexes.base", "_new_Index"): _index,
    ("pandas.core.indexes.base", "Index"): _Frame,
    ("pandas.core.indexes.range", "RangeIndex"): _Frame,
    ("builtins", "slice"): slice,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError as error:
            raise Unreadable(f"{module}.{name}") from error


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise Unreadable(f"{module}.{name}")


def plain_pickle(content: bytes) -> Any:
    """A pickle of dictionaries, lists, words and numbers. Raises Unreadable for any other."""
    return _load(_Plain(io.BytesIO(content)))


def frame(content: bytes) -> dict[str, list[Any]]:
    """A pickled DataFrame as columns by name. Raises Unreadable: another thing, or columns of other kinds."""
    read = _load(_Reader(io.BytesIO(content)))
    try:
        manager = read.state["_mgr"]
        blocks, (names, _) = manager.parts
        columns: dict[int, list[Any]] = {}
        for values, placement in blocks:
            places = range(len(names))[placement] if isinstance(placement, slice) else np.asarray(placement).tolist()
            columns.update(zip(places, np.asarray(values).tolist(), strict=True))
        return {str(name): columns[place] for place, name in enumerate(names)}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"not a table: {error}") from error


def _load(reader: pickle.Unpickler) -> Any:
    try:
        return reader.load()
    except Unreadable:
        raise
    except Exception as error:  # a broken pickle may raise anything
        raise Unreadable(str(error)) from error

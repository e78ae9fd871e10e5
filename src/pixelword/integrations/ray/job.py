"""A file of rows to answer, part by part, so that no row is lost or answered twice after interruptions.

A part is a range of rows; its answers are one file, written atomically. Parts without a file remain to be done, so
stopped jobs and dead workers need no other state. At the end rows are counted, and each must occur exactly once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelword.batch.rows import Row, row_from_line
from pixelword.errors import InputError
from pixelword.utils.files import atomic_file

_JOB = "job.json"


@dataclass(frozen=True)
class Part:
    """Rows [first, first + count) of the file, from byte `offset` on."""

    number: int
    first: int
    count: int
    offset: int


@dataclass(frozen=True)
class Done:
    """Number of rows of a finished job, and of errors among them."""

    rows: int
    errors: int


class Job:
    """Rows in a file of JSON lines, and the folder of their answers.

    A row is `{"image": "a.png", "question": "…", "id": …}`; `image` and `video` may be lists or missing, paths are
    relative to the file, `question` may be given for all rows at once, `id` comes back with the answer. rows, out: must
    be the same files on every machine. options: what else decides the answers; a folder belongs to one job.

    Raises InputError: there are no rows, or the folder holds another job's answers.
    """

    def __init__(
        self, rows: Path, out: Path, *, question: str | None = None, part_rows: int = 256, **options: Any
    ) -> None:
        if part_rows < 1:
            raise InputError("part_rows must be at least 1")
        if not rows.is_file():
            raise InputError(f"no file {rows}; give one with a JSON object in each line")
        self.rows, self.out, self.question = rows.resolve(), out.resolve(), question
        self.parts, digest = _planned(self.rows, part_rows)
        if not self.parts:
            raise InputError(f"{rows} has no rows")
        self._claim({"rows_sha256": digest, "part_rows": part_rows, "question": question, **options})

    def _claim(self, identity: Mapping[str, Any]) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        held = self.out / _JOB
        if not held.exists():
            _write(held, json.dumps(identity, indent=1))
        elif (other := json.loads(held.read_text(encoding="utf-8"))) != identity:
            names = sorted(name for name in {*other, *identity} if other.get(name) != identity.get(name))
            raise InputError(
                f"{self.out} holds answers of another job ({', '.join(names)} differ); give another folder"
            )

    def path(self, part: Part) -> Path:
        """Return the path of a part's answers."""
        return self.out / f"part-{part.number:06d}.jsonl"

    def missing(self) -> list[Part]:
        """Return the unfinished parts."""
        return [part for part in self.parts if not self.path(part).exists()]

    def read(self, part: Part) -> list[Row]:
        """Read the rows of a part; an invalid line becomes a row with a fault."""
        with self.rows.open("rb") as lines:
            lines.seek(part.offset)
            return [
                row_from_line(lines.readline(), n, self.rows.parent, self.question, place=f"line {n + 1}")
                for n in range(part.first, part.first + part.count)
            ]

    def write(self, part: Part, rows: Sequence[Row], answers: Sequence[Mapping[str, Any]]) -> int:
        """Write the answers of a part, in row order; return the number of errors."""
        lines = [
            json.dumps({"row": row.number, "id": row.id, **answer}, ensure_ascii=False)
            for row, answer in zip(rows, answers, strict=True)
        ]
        _write(self.path(part), "\n".join(lines) + "\n")
        return sum("error" in answer for answer in answers)

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield all answers, in row order."""
        for part in self.parts:
            with self.path(part).open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)

    def check(self) -> Done:
        """Check that each row occurs once, in order. Raises InputError if a part is missing or was changed."""
        if missing := self.missing():
            raise InputError(f"{len(missing)} of {len(self.parts)} parts are not done; run the job again")
        errors = 0
        for part in self.parts:
            with self.path(part).open(encoding="utf-8") as lines:
                found = [json.loads(line) for line in lines]
            if [item["row"] for item in found] != list(range(part.first, part.first + part.count)):
                raise InputError(f"{self.path(part)} does not hold its rows; delete it and run the job again")
            errors += sum("error" in item for item in found)
        return Done(self.parts[-1].first + self.parts[-1].count, errors)

    def sweep(self) -> None:
        """Delete temporary files of dead workers. Not while others work on the job."""
        for left in self.out.glob(".*.part"):
            left.unlink(missing_ok=True)


def _planned(rows: Path, part_rows: int) -> tuple[list[Part], str]:
    """Split a file into parts, and hash it; trailing blank lines are ignored."""
    digest, offsets, at, count, last = hashlib.sha256(), [], 0, 0, 0
    with rows.open("rb") as lines:
        for number, line in enumerate(lines):
            if number % part_rows == 0:
                offsets.append(at)
            digest.update(line)
            at += len(line)
            count, last = (number + 1, number + 1) if line.strip() else (count, number + 1)
    if count < last and rows.stat().st_size:
        offsets = offsets[: -(-count // part_rows)]
    sizes = [min(part_rows, count - n * part_rows) for n in range(len(offsets))]
    return [Part(n, n * part_rows, size, offsets[n]) for n, size in enumerate(sizes)], digest.hexdigest()


def _write(path: Path, text: str) -> None:
    """Write a file atomically, as seen from every machine."""
    with atomic_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def as_dict(part: Part) -> dict[str, int]:
    """Convert a part to a dataset row."""
    return asdict(part)

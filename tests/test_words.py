"""Words that the code keeps out: dialect that a reader of this field would stumble over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT_OUT = re.compile(r"\b(told|whom|anew|lets go of|so many)\b", re.IGNORECASE)
TEXTS = {".py", ".md", ".yaml", ".html", ".jinja", ".js", ".css"}


def sources(*suffixes: str, rooms: tuple[str, ...] = ("src", "lab/src")) -> Iterator[Path]:
    for room in rooms:
        yield from (path for path in sorted((ROOT / room).rglob("*")) if path.suffix in suffixes)


def test_no_dialect_in_the_sources() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources(*TEXTS)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if KEPT_OUT.search(line)
    ]
    assert not found, "\n".join(found)


def test_a_variable_is_named_by_what_it_is() -> None:
    """`one` says nothing; the noun does."""
    rooms = ("src", "tests", "benchmarks", "examples", "docs", "lab")
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(".py", rooms=rooms)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == "one") or (isinstance(node, ast.arg) and node.arg == "one")
    ]
    assert not found, "\n".join(found)

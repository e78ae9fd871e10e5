"""Words that the code keeps out: dialect that a reader of this field would stumble over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT_OUT = re.compile(
    r"\b(told|whom|anew|lets? go of|so many|there is no such|to be had|rightly|in vain|as to|wrong one)\b",
    re.IGNORECASE,
)
#: Kept out of messages and help texts; questions of synthetic tasks do say picture.
NOT_TO_USERS = re.compile(r"\b(pictures?|there is no|is no [a-z]+|knows)\b", re.IGNORECASE)
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


def texts_for_users(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What is raised, and what options and arguments say, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            parts = node.exc.args
        elif isinstance(node, ast.Call):
            parts = [keyword.value for keyword in node.keywords if keyword.arg in ("help", "description")]
        else:
            continue
        for leaf in (leaf for part in parts for leaf in ast.walk(part)):
            if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                yield leaf.lineno, leaf.value


def test_messages_and_help_are_in_the_fields_words() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {text}"
        for path in sources(".py", rooms=("src",))
        if "synthetic" not in path.parts
        for number, text in texts_for_users(ast.parse(path.read_text(encoding="utf-8")))
        if NOT_TO_USERS.search(text)
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

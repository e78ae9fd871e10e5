"""docs/troubleshooting.md quotes messages that the code prints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
CELLS = re.findall(r"^\| ([^|]*`[^|]*) \|", PAGE, re.MULTILINE)
QUOTES = [quote for cell in CELLS for quote in re.findall("`([^`]+)`", cell)]


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string of a module but docstrings; what an f-string fills in is `…`."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@cache
def messages() -> str:
    """All strings of the package, one a line."""
    paths = sorted((ROOT / "src" / "pixelword").rglob("*.py"))
    return "\n".join(text for path in paths for text in texts(ast.parse(path.read_text(encoding="utf-8"))))


def pattern(quote: str) -> str:
    """An expression that finds a quoted message; a `…` at its end may stand for anything."""
    return ".*".join(re.escape(part) for part in quote.split("…"))


def test_the_page_has_messages() -> None:
    assert len(QUOTES) > 100


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_one_that_the_code_prints(quote: str) -> None:
    assert re.search(pattern(quote), messages()), f"no message has {quote!r}: quote it as it is now"

"""Modules import ours at their top: what a file needs is seen there, and circles show at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src" / "pixelword"
#: A verb imports what it needs when it runs, so that `--help` is fast; other programs load integrations into processes
#: that may not have torch or that program's own package.
DEFERRING = ("cli", "integrations")


def deferred(path: Path) -> Iterator[str]:
    """Imports of ours within functions, as file:line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for node in ast.walk(function):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = ["pixelword" if node.level else node.module or ""]
            if any(name.partition(".")[0] == "pixelword" for name in names):
                yield f"{path.relative_to(SOURCES)}:{node.lineno}"


def test_our_modules_are_imported_at_the_top() -> None:
    files = [path for path in SOURCES.rglob("*.py") if path.relative_to(SOURCES).parts[0] not in DEFERRING]
    assert len(files) > 100
    assert sorted({place for path in files for place in deferred(path)}) == []

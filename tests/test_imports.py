"""Modules import ours at their top: what a file needs is seen there, and circles show at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

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


def imports(name: str, path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of ours that a module imports: at its top, in functions and under TYPE_CHECKING."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            members = {f"{source}.{alias.name}" for alias in node.names}
            found |= {member if member in modules else source for member in members}
    return (found & modules.keys()) - {name}


def check_no_circle(root: Path) -> None:
    names = {path: path.relative_to(root.parent).with_suffix("").parts for path in root.rglob("*.py")}
    modules = {".".join(part for part in parts if part != "__init__"): path for path, parts in names.items()}
    TopologicalSorter({name: imports(name, path, modules) for name, path in modules.items()}).prepare()


def test_no_import_circles() -> None:
    check_no_circle(SOURCES)


def test_a_circle_under_type_checking_is_found(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "low.py").write_text("if TYPE_CHECKING:\n    from .high import High\n")
    (package / "high.py").write_text("def use():\n    from package import low\n")
    with pytest.raises(CycleError, match=r"package\.low"):
        check_no_circle(package)

"""docs/architecture.md names files and functions that exist, and its arrows are those that `make lint` checks."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pixelword"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"`([\w./-]+\.(?:py|yaml|jinja|toml|md))`", PAGE)))
#: "`name` in `file`" and "`file` (`name`, …)".
NAMES = [(name, file) for name, file in re.findall(r"`([\w.]+)`(?: and `[\w.]+`)? (?:in|of) `([\w/]+\.py)`", PAGE)]
NAMES += [
    (name, file)
    for file, names in re.findall(r"`([\w/]+\.py)` \(((?:`[\w.]+`(?:, )?)+)\)", PAGE)
    for name in re.findall(r"`([\w.]+)`", names)
]


def find(name: str) -> list[Path]:
    """The files that a path or a bare name on the page can mean."""
    places = (ROOT / name, PACKAGE / name)
    found = [path for path in places if path.is_file()]
    return found or (list(PACKAGE.rglob(name)) if "/" not in name else [])


@pytest.mark.parametrize("name", FILES)
def test_a_file_exists(name: str) -> None:
    assert find(name), f"docs/architecture.md names {name}, which is nowhere"


@pytest.mark.parametrize(("name", "file"), NAMES, ids=[f"{file}:{name}" for name, file in NAMES])
def test_a_name_is_defined_in_its_file(name: str, file: str) -> None:
    defined: set[str] = set()
    for path in find(file):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.arg):
                defined.add(getattr(node, "name", None) or node.arg)  # type: ignore[union-attr]
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
    assert set(name.split(".")) <= defined | {"__init__"}, f"{file} has no {name}"


def test_there_is_enough_to_check() -> None:
    assert len(FILES) > 60 and len(NAMES) > 15


def test_the_rooms_are_those_of_the_import_contract() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (found for found in linter["contracts"] if found["name"] == "Rooms import downwards")
    layers = [re.split(r" [|:] ", layer) for layer in contract["layers"]]
    block = PAGE.split("```")[1].strip().splitlines()
    rooms = [re.split(r", | \| ", re.split(r" {2,}", line)[0]) for line in block]
    left_out = {"inference", "_version"}  # a former name, and a number
    assert [set(room) for room in rooms] == [set(layer) - left_out for layer in layers if set(layer) - left_out]

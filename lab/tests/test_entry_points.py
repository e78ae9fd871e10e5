"""What pyproject.toml offers to pixelword can be imported, and pixelword knows it by these names."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pixelword import plugins

GROUPS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
POINTS = [
    EntryPoint(name, value, group) for group, points in GROUPS["entry-points"].items() for name, value in points.items()
]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.group}:{point.name}")
def test_an_entry_point_loads(point: EntryPoint) -> None:
    assert point.load() is not None


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.group}:{point.name}")
def test_without_the_lab_its_name_is_known(point: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: {})
    with pytest.raises(plugins.InputError, match="part of pixelword-lab"):
        plugins.load(point.group, point.name)

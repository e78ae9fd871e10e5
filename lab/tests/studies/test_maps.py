"""Attention maps scored against occlusion, on nano's own questions."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import pixelword
from pixelword.errors import InputError
from pixelword_lab.cli.studies import app
from pixelword_lab.studies.maps import score_maps


def test_a_row_for_each_kind_with_images_and_one_over_all() -> None:
    nano = pixelword.load("nano", dtype="float32")
    rows = list(score_maps(nano, 2, ["colour", "text"]))
    assert [row.kind for row in rows] == ["colour", "all"]
    assert rows[0].asked == 2 and rows[0].matter <= 2 and rows[1].checks == rows[0].checks
    for three in rows[0].checks.values():
        assert all(mean.low <= mean.value <= mean.high for mean in three)
    with pytest.raises(InputError, match="unknown kind 'colours'"):
        list(score_maps(nano, 2, ["colours"]))


def test_the_command_prints_a_table_per_kind() -> None:
    result = CliRunner().invoke(app, ["maps", "nano", "--questions", "2", "--kind", "shape"])
    assert result.exit_code == 0 and "shape: in" in result.stdout and "all: in" in result.stdout

"""Drawn tasks as a stage takes them: kinds that begin later, levels, and packs that are missing."""

from __future__ import annotations

import numpy as np
import pytest

from pixelword.errors import RecipeError
from pixelword.training.curriculum import curriculum


def test_a_kind_begins_at_its_first_level(tiny) -> None:
    data = tiny(
        "data={mixture: {colour: 1, shape: 1}, levels: {shape: [[0.5, 0.0], [1.0, 1.0]]}, level: 0.4, easier: 0.5,"
        " rows: 2, length: 256, workers: 0}"
    ).data
    assert [data.level_at(x, "shape") for x in (0.2, 0.5, 0.75, 1.0)] == [0.0, 0.0, 0.5, 1.0]
    assert data.level_at(0.9, "colour") == 0.4
    rng, tasks = np.random.default_rng(0), curriculum(data)
    assert {tasks.mixed(rng, 0.49, 1).kind for _ in range(40)} == {"colour"}
    assert {tasks.mixed(rng, 0.5, 1).kind for _ in range(40)} == {"colour", "shape"}


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ("{shap: [[0, 0]]}", "did you mean 'shape'"),
        ("{shape: [[0.5, 0], [0.2, 1]]}", "order of their fraction"),
        ("{shape: [[0.1, 0]], colour: [[0.2, 0]]}", "let one begin at fraction 0"),
    ],
)
def test_levels_that_cannot_be_are_refused(tiny, levels: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny(f"data={{mixture: {{colour: 1, shape: 1}}, levels: {levels}, rows: 2, length: 256}}")


def test_reading_without_its_packs_is_refused_before_weights(tiny, tmp_path) -> None:
    recipe = tiny(f"data={{mixture: {{read: 1}}, assets: {tmp_path}, rows: 2, length: 256}}")
    with pytest.raises(RecipeError, match=r"read needs a pack.*tasks fetch fonts"):
        curriculum(recipe.data)

"""Scenes: where things lie, and what training never shows."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from PIL import ImageChops

from pixelword.synthetic.drawing import outline_mask, paint_background, render
from pixelword.synthetic.scenes import (
    CELLS,
    COLOURS,
    CONTRAST,
    HELD_OUT,
    PAIRS,
    SHAPES,
    SMALLEST,
    Scene,
    Split,
    draw_scene,
    most_things,
)


def scenes(split: Split, number: int = 150) -> list[Scene]:
    rng = Random(3)
    drawn = []
    for index in range(number):
        level = index / number
        things = rng.randint(1, most_things(level))
        drawn.append(draw_scene(rng, level=level, split=split, allowed=[PAIRS] * things, large=False))
    return drawn


@pytest.mark.parametrize("split", ["train", "test"])
def test_things_lie_inside_cells_of_their_own(split: Split) -> None:
    for scene in scenes(split):
        assert len({thing.cell for thing in scene.things}) == len(scene.things)
        assert scene.width % 32 == 0 and scene.height % 32 == 0
        for thing in scene.things:
            row, column = divmod(thing.cell, 3)
            assert column * scene.width <= 3 * thing.x and 3 * (thing.x + thing.size) <= (column + 1) * scene.width
            assert row * scene.height <= 3 * thing.y and 3 * (thing.y + thing.size) <= (row + 1) * scene.height
            assert thing.size >= SMALLEST


def test_only_the_things_differ_from_the_ground() -> None:
    for scene in scenes("train", 40):
        ground = paint_background(scene.background, scene.width, scene.height)
        changed = np.asarray(ImageChops.difference(render(scene), ground)).any(-1)
        outside = changed.copy()
        for thing in scene.things:
            inside = (slice(thing.y, thing.y + thing.size), slice(thing.x, thing.x + thing.size))
            assert changed[inside].mean() > 0.2, f"{thing} can hardly be seen"
            outside[inside] = False
        assert not outside.any()


def test_a_large_thing_stands_in_the_middle() -> None:
    rng = Random(0)
    for split in ("train", "test"):
        scene = draw_scene(rng, level=0.5, split=split, allowed=[PAIRS], large=True)
        assert [thing.cell for thing in scene.things] == [CELLS.index("centre")]
        assert (HELD_OUT[scene.things[0].colour, scene.things[0].shape] == 4) == (split == "test")


def test_training_never_shows_what_the_test_asks_about() -> None:
    for scene in scenes("train"):
        assert all(HELD_OUT[thing.colour, thing.shape] != thing.cell for thing in scene.things)
    for scene in scenes("test"):
        assert scene.focus == 0
        assert HELD_OUT[scene.things[0].colour, scene.things[0].shape] == scene.things[0].cell


def test_held_out_cells_are_spread_evenly() -> None:
    per_cell = Counter(HELD_OUT.values())
    assert len(HELD_OUT) == len(COLOURS) * len(SHAPES) and set(per_cell) == set(range(9))
    assert max(per_cell.values()) - min(per_cell.values()) <= 1
    for name in (*COLOURS, *SHAPES):
        cells = [cell for pair, cell in HELD_OUT.items() if name in pair]
        assert len(set(cells)) == len(cells)


def test_colours_stand_out_from_the_ground_and_from_each_other() -> None:
    for scene in scenes("train"):
        for thing in scene.things:
            for ground in (scene.background.start, scene.background.end):
                # jitter of thing, start and end may take some of the contrast
                assert np.linalg.norm(np.subtract(thing.rgb, ground)) > CONTRAST - 60, scene
    colours = list(COLOURS.values())
    gaps = [np.linalg.norm(np.subtract(a, b)) for i, a in enumerate(colours) for b in colours[:i]]
    assert min(gaps) > 80


@pytest.mark.parametrize("size", [SMALLEST, 20, 40])
def test_shapes_fill_their_square_and_differ(size: int) -> None:
    masks = {shape: np.asarray(outline_mask(shape, size), dtype=np.float32) / 255 for shape in SHAPES}
    for shape, mask in masks.items():
        assert mask.shape == (size, size) and mask.max() == 1.0
        assert mask.any(0).mean() > 0.7 and mask.any(1).mean() > 0.85, shape
        for other in SHAPES:
            assert other == shape or np.abs(mask - masks[other]).mean() > 0.08, (shape, other)


def test_more_things_than_cells_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ask for fewer"):
        draw_scene(Random(0), level=1.0, split="train", allowed=[PAIRS] * 10)

"""Boxes: in the released form, inside the image, and tight on what is drawn."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageChops

from pixelword.evaluation.scores import boxes as read_boxes
from pixelword.synthetic import boxes
from pixelword.synthetic.drawing import paint_background, render
from pixelword.synthetic.scenes import HELD_OUT, PAIRS, SHAPES, Scene, Split, Thing, background_for, draw_scene


def scenes(split: Split, number: int = 150) -> list[Scene]:
    drawn = []
    for seed in range(number):
        rng, level = Random(seed), (seed % 5) / 4
        drawn.append(draw_scene(rng, level=level, split=split, allowed=[PAIRS] * rng.randint(1, 5), large=False))
    return drawn


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(14, 100), st.integers(0, 28), st.integers(0, 28), st.integers(0, 999))
def test_a_box_is_tight_on_the_drawn_pixels(shape: str, size: int, x: int, y: int, seed: int) -> None:
    thing = Thing("red", shape, 0, x, y, size, (255, 0, 0))
    background = background_for(Random(seed), ["red"], 0.0)
    empty = paint_background(background, 128, 128)
    shown = ImageChops.difference(render(Scene(128, 128, background, (thing,))), empty)
    ys, xs = np.nonzero(np.asarray(shown).any(-1))
    drawn = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert np.abs(np.subtract(boxes.box_of(thing), drawn)).max() <= 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_name_the_thing_and_box_it(split: Split) -> None:
    asked = 0
    for seed, scene in enumerate(scenes(split)):
        turn = boxes.ask_box(Random(seed), scene, frozenset())
        if turn is None:
            continue
        asked += 1
        name, _ = re.fullmatch(r"<ref>([a-z ]+)</ref><box>\[\[\d+(, \d+){3}\]\]</box>", turn.answer).groups()
        assert f"the {name}" in turn.question.lower()
        (thing,) = (item for item in scene.things if f"{item.colour} {item.shape}".endswith(name))
        (box,) = read_boxes(turn.answer)
        assert 0 <= box[0] < box[2] <= 1000 and 0 <= box[1] < box[3] <= 1000
        sides = (scene.width, scene.height) * 2
        places = [share * side / 1000 for share, side in zip(box, sides, strict=True)]
        assert np.abs(np.subtract(places, boxes.box_of(thing))).max() < 0.1
        assert thing.x <= places[0] + 0.1 and places[2] <= thing.x + thing.size + 0.1
        if split == "test" and scene.focus is not None and thing is scene.things[0]:
            assert HELD_OUT[thing.colour, thing.shape] == thing.cell
    assert asked > 100


def test_what_was_boxed_is_not_asked_for_again() -> None:
    scene = scenes("train")[0]
    told: frozenset[object] = frozenset()
    for _ in scene.things:
        turn = boxes.ask_box(Random(1), scene, told)
        if turn is not None:
            assert not turn.asks <= told
            told |= turn.tells
    assert boxes.ask_box(Random(1), scene, frozenset(("box", index) for index in range(9))) is None

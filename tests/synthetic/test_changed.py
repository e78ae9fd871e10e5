"""Two images and what changed: one thing at most, said in a small grammar, and unlike in training and test."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import numpy as np
import pytest
from PIL import ImageChops

from pixelword.synthetic import changed
from pixelword.synthetic.drawing import render
from pixelword.synthetic.scenes import CELLS, COLOURS, HELD_OUT, SHAPES, Split, Thing

_COLOUR, _SHAPE = "|".join(COLOURS), "|".join(SHAPES)
_IT, _CELL = rf"the ({_COLOUR}) ({_SHAPE})", "|".join(CELLS)
GRAMMAR = re.compile(
    rf"nothing|{_IT} (disappeared|turned ({_COLOUR})|turned into a ({_SHAPE})|moved to the ({_CELL}))"
    rf"|an? ({_COLOUR}) ({_SHAPE}) appeared (at|on|in) the ({_CELL})"
)


def changes(split: Split, number: int = 300, closed: bool = False) -> list[changed.Change]:
    return [changed.draw_change(Random(seed), seed / number, split, closed=closed) for seed in range(number)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_exactly_what_is_said_differs(split: Split) -> None:
    for change in changes(split):
        first, second = change.scenes
        pixels = np.asarray(ImageChops.difference(render(first), render(second))).any(-1)
        for thing in change.thing:
            if thing is not None:
                pixels[thing.y : thing.y + thing.size, thing.x : thing.x + thing.size] = False
        assert not pixels.any(), "something else differs, too"
        assert (render(first).tobytes() == render(second).tobytes()) == (change.thing == (None, None))
        assert set(first.things) ^ set(second.things) == set(change.thing) - {None}


@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_are_in_the_grammar_and_name_one_thing(split: Split) -> None:
    seen = Counter()
    for change in changes(split):
        turn = changed.ask_changed(Random(0), change)
        assert GRAMMAR.fullmatch(turn.answer), turn.answer
        seen[re.sub(rf"\b({_COLOUR}|{_SHAPE}|{_CELL})\b", "", turn.answer).strip().split(" ")[-1]] += 1
        for scene in change.scenes:
            assert len({(thing.colour, thing.shape) for thing in scene.things}) == len(scene.things)
    assert {"disappeared", "turned", "a", "nothing"} < set(seen)


def held_out(thing: Thing | None) -> bool:
    return thing is not None and HELD_OUT[thing.colour, thing.shape] == thing.cell


def test_training_shows_no_held_out_combination_and_a_test_changes_one() -> None:
    for change in changes("train"):
        assert not any(held_out(thing) for scene in change.scenes for thing in scene.things)
    for change in changes("test"):
        assert change.thing == (None, None) or any(map(held_out, change.thing))


def test_yes_and_no_are_as_likely_for_either_wording() -> None:
    answers = Counter()
    for number, change in enumerate(changes("test", 800, closed=True)):
        turn = changed.ask_same(Random(number), change)
        differ = re.search(r"diff|change", turn.question.lower()) is not None
        assert (turn.answer == "yes") == (differ == (change.thing != (None, None))), turn
        answers[differ, turn.answer] += 1
    assert all(140 < answers[differ, word] < 260 for differ in (True, False) for word in ("yes", "no")), answers

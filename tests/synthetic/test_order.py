"""Clips in which things happen in turn: the frames show what the answers say."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from pixelword.synthetic import order
from pixelword.synthetic.comparing import alternatives
from pixelword.synthetic.questions import name_of
from pixelword.synthetic.scenes import HELD_OUT, Split, Thing


def happenings(split: Split, number: int = 200) -> list[order.Happening]:
    return [order.draw_happening(Random(seed), (seed % 11) / 10, split) for seed in range(number)]


def first_change(clip: order.Video, thing: Thing) -> int:
    """The first frame in which the thing's own square is not as before."""
    box = (thing.x, thing.y, thing.x + thing.size, thing.y + thing.size)
    squares = [np.asarray(frame.crop(box)) for frame in clip.frames]
    return next(number for number in range(1, len(squares)) if (squares[number] != squares[0]).any())


@pytest.mark.parametrize("split", ["train", "test"])
def test_things_are_in_the_order_in_which_frames_show_them(split: Split) -> None:
    for happening in happenings(split):
        clip = happening.clip
        assert 4 <= len(clip.frames) <= 6 and {frame.size for frame in clip.frames} == {(64, 64)}
        assert clip.timestamps == tuple(map(float, range(len(clip.frames)))) and clip.duration == len(clip.frames)
        times = [first_change(clip, thing) for thing in happening.things]
        assert times == sorted(set(times)) and len(times) in (2, 3)
        assert len({(thing.colour, thing.shape) for thing in happening.things}) == len(times)


@pytest.mark.parametrize("split", ["train", "test"])
def test_answers(split: Split) -> None:
    ways = set()
    for seed, happening in enumerate(happenings(split)):
        turn = order.ask_order(Random(seed), happening)
        ways.add(happening.way)
        words, names = turn.question.lower(), [name_of(thing) for thing in happening.things]
        if named := alternatives(turn.question):
            assert len(set(named)) == 2 and turn.answer in named
            places = [[name.endswith(item.removeprefix("the ")) for name in names].index(True) for item in named]
            assert named.index(turn.answer) == places.index((max if "later" in words else min)(places))
        elif " after " in words:
            asked = words.split(" after the ")[1].rstrip("?")
            assert turn.answer == names[[name.endswith(asked) for name in names].index(True) + 1]
        else:
            place = next(place for word, place in (("first", 0), ("second", 1), ("last", -1)) if word in words)
            assert turn.answer == names[place] and (place != 1 or len(names) == 3)
        count = order.ask_how_many(Random(seed), happening)
        assert count.answer == str(happening.shown[0 if "start" in count.question else 1]) != "0"
    assert ways == set(order.WAYS)


def test_a_test_asks_for_a_thing_in_its_held_out_cell() -> None:
    for happening in happenings("train"):
        assert not any(HELD_OUT[thing.colour, thing.shape] == thing.cell for thing in happening.things)
    for seed, happening in enumerate(happenings("test")):
        assert happening.focus is not None
        thing = happening.things[happening.focus]
        assert HELD_OUT[thing.colour, thing.shape] == thing.cell
        turn = order.ask_order(Random(seed), happening)
        named = alternatives(turn.question)
        assert turn.answer == name_of(thing) or any(item.endswith(thing.shape) for item in named)

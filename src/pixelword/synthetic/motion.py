"""Short clips in which one thing moves.

Held out: every (colour, shape) pair has one way in which training never moves it; tests move it that way.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from pixelword.processing.types import Video
from pixelword.synthetic.drawing import render
from pixelword.synthetic.questions import COLOUR_WORDINGS, SHAPE_WORDINGS, Facts, Turn
from pixelword.synthetic.scenes import COLOURS, HELD_OUT, PAIRS, Pair, Scene, Split, Thing, background_for, jitter
from pixelword.synthetic.wording import article, phrase

WAYS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
FRAMES, SIDE = 4, 64
_WORDINGS = ("Which way does {it} move?", "Which way does {it} move?", "Where does {it} move?",
             "Which way is {it} moving?", "Where is {it} going?",
             "In which direction does {it} move?", "Which way does {it} go?")  # fmt: skip


def held_out_way(pair: Pair) -> str:
    """The way this (colour, shape) moves only in tests."""
    return tuple(WAYS)[HELD_OUT[pair] % 4]


def draw_motion(rng: Random, level: float, split: Split, finer: int = 1) -> tuple[Video, str, Thing]:
    """(clip of 4 frames of 64x64, one a second; the way; the thing in the first frame).

    finer: steps, of a second each, that one step of the way is cut into; 1 + 3 * finer frames are the longer clip's.
    """
    way = rng.choice(tuple(WAYS))
    colour, shape = rng.choice([pair for pair in PAIRS if (held_out_way(pair) == way) == (split == "test")])
    size = rng.randint(round(22 - 6 * level), 26)
    step = rng.randint(round(11 - 4 * level), (SIDE - size) // (FRAMES - 1))
    right, down = WAYS[way]
    x, y = (_start(rng, direction * step * (FRAMES - 1), SIDE - size) for direction in (right, down))
    thing = Thing(colour, shape, 0, x, y, size, jitter(rng, COLOURS[colour], 4 + round(8 * level)))
    background = background_for(rng, (colour,), level)
    frames = []
    count = (FRAMES - 1) * finer + 1
    for number in range(count):
        gone = step * number // finer
        moved = replace(thing, x=x + right * gone, y=y + down * gone)
        frames.append(render(Scene(SIDE, SIDE, background, (moved,))))
    return Video(tuple(frames), tuple(float(second) for second in range(count)), float(count)), way, thing


def _start(rng: Random, travel: int, room: int) -> int:
    """A first place such that the whole travel stays within 0..room."""
    return rng.randint(max(0, -travel), min(room, room - travel))


def ask_motion(rng: Random, thing: Thing, way: str) -> Turn:
    """'Which way does it move?' -> 'left'."""
    words = rng.choice(("it", "it", "the object", f"the {thing.shape}", f"the {thing.colour} {thing.shape}"))
    tells = {("way", 0)} | ({("shape", 0)} if thing.shape in words else set())
    tells |= {("colour", 0)} if thing.colour in words else set()
    return Turn("motion", phrase(rng, _WORDINGS, it=words), way, frozenset({("way", 0)}), frozenset(tells))


def ask_moving_thing(rng: Random, thing: Thing) -> Turn:
    """Its colour, its shape, or both."""
    colour: Facts = frozenset({("colour", 0)})
    shape: Facts = frozenset({("shape", 0)})
    match rng.randrange(3):
        case 0:
            return Turn("colour", phrase(rng, COLOUR_WORDINGS, it="it"), thing.colour, colour, colour)
        case 1:
            return Turn("shape", phrase(rng, SHAPE_WORDINGS, it="it"), thing.shape, shape, shape)
        case _:
            question = phrase(rng, ("What is moving?", "What moves?", "Which object is moving?"))
            return Turn("what", question, article(f"{thing.colour} {thing.shape}"), colour | shape, colour | shape)

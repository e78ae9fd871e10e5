"""Short clips in which two or three things appear, move or disappear one after another, and which of them did first.

Held out: in a test, the thing that is asked for is in its held-out cell (see ``scenes``) at some time; training shows
no held-out combination in any frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from pixelword.processing.types import Video
from pixelword.synthetic.comparing import called
from pixelword.synthetic.drawing import render
from pixelword.synthetic.questions import COUNT_WORDINGS, Facts, Turn, name_of
from pixelword.synthetic.scenes import CELLS, HELD_OUT, Scene, Split, Thing, draw_distinct, moved
from pixelword.synthetic.wording import phrase

FRAMES, SIDE = (4, 5, 6), 64
#: What happens to each thing: the words for it, past, of one that does it, and plain.
WAYS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "appear": (("appeared", "appears", "appear"), ("came", "comes", "come")),
    "disappear": (("disappeared", "disappears", "disappear"), ("vanished", "vanishes", "vanish")),
    "move": (("moved", "moves", "move"),),
}
_PLACES = ("first", "second", "last")
_WHICH = ("What {past} {place}?", "What {past} {place}?", "What {past} {place}?", "Which object {past} {place}?",
          "What {does} {place}?", "Which object {does} {place}?", "What was the {place} to {do}?")  # fmt: skip
_NEXT = ("What {past} right after {it}?", "What {past} next after {it}?", "Which object {past} right after {it}?")
_EITHER = ("Which {past} {place}, {a} or {b}?", "Which {past} {place}, {a} or {b}?", "What {past} {place}, {a} or {b}?",
           "Which {does} {place}, {a} or {b}?")  # fmt: skip
_MOVE_SHARE, _DISAPPEAR_SHARE = 0.35, 0.25


@dataclass(frozen=True)
class Happening:
    """A clip and what happens in it.

    way: one of ``WAYS``. things: in the order in which it happens to them. focus: the one to ask about (test).
    shown: how many things the first frame shows, and the last.
    """

    clip: Video
    way: str
    things: tuple[Thing, ...]
    focus: int | None
    shown: tuple[int, int]


def draw_happening(rng: Random, level: float, split: Split) -> Happening:
    """A clip of 4 to 6 frames of 64x64, one a second; at most one thing begins to differ in each of them."""
    way = "appear"
    if rng.random() < level:
        way = rng.choices(tuple(WAYS), (1 - _MOVE_SHARE - _DISAPPEAR_SHARE, _DISAPPEAR_SHARE, _MOVE_SHARE))[0]
    number = 3 if rng.random() < 0.6 * level else 2
    still = rng.random() < 0.4 * level
    scene = draw_distinct(rng, number + still, level=level, split=split, size=(SIDE, SIDE))
    order = rng.sample(range(number), number)  # the thing that stays as it is is the last of the scene
    count = rng.choice(FRAMES)
    times = sorted(rng.sample(range(1, count), number))
    after = _after(rng, scene, way, split, number)
    frames = []
    for frame in range(count):
        happened = {thing for thing, time in zip(order, times, strict=True) if time <= frame}
        frames.append(render(replace(scene, things=_shown(scene, after, way, happened, number))))
    clip = Video(tuple(frames), tuple(float(second) for second in range(count)), float(count))
    focus = None if scene.focus is None else order.index(scene.focus)
    at_first, at_last = (0 if way == "appear" else number), (0 if way == "disappear" else number)
    return Happening(clip, way, tuple(scene.things[item] for item in order), focus, (at_first + still, at_last + still))


def _after(rng: Random, scene: Scene, way: str, split: Split, number: int) -> list[Thing]:
    """The first ``number`` things as they are after they moved, each in a cell that no other has at any time."""
    if way != "move":
        return list(scene.things)
    free = set(range(len(CELLS))) - {thing.cell for thing in scene.things}
    after = []
    for thing in scene.things[:number]:
        held_out = HELD_OUT[thing.colour, thing.shape] if split == "train" else None
        cell = rng.choice([cell for cell in sorted(free) if cell != held_out])
        free.remove(cell)
        after.append(moved(rng, thing, cell, scene.width, scene.height))
    return after


def _shown(scene: Scene, after: list[Thing], way: str, happened: set[int], number: int) -> tuple[Thing, ...]:
    """The things of a frame."""
    found = list(scene.things[number:])
    for index in range(number):
        if way == "move":
            found.append(after[index] if index in happened else scene.things[index])
        elif (index in happened) == (way == "appear"):
            found.append(scene.things[index])
    return tuple(found)


def ask_order(rng: Random, happening: Happening) -> Turn:
    """'What appeared first?' -> 'a red circle'; 'Which came first, the star or the circle?' -> 'the star'."""
    things, focus = happening.things, happening.focus
    place = rng.randrange(len(things)) if focus is None else focus
    past, does, do = rng.choice(WAYS[happening.way])
    asks: Facts = frozenset({("order", place)})
    form = rng.random()
    if form < 0.4:
        return _ask_either(rng, things, place, (past, does))
    tells: Facts = frozenset({("order", place), ("colour", place), ("shape", place)})
    if form < 0.6 and place > 0 and len(things) > 2:
        it = called(rng, things, place - 1)
        question = phrase(rng, _NEXT, past=past, it=it.words)
        return Turn("order", question, name_of(things[place]), asks, tells | it.tells)
    nth = _PLACES[-1] if place == len(things) - 1 else _PLACES[place]
    question = phrase(rng, _WHICH, past=past, does=does, do=do, place=nth)
    return Turn("order", question, name_of(things[place]), asks, tells)


def _ask_either(rng: Random, things: tuple[Thing, ...], place: int, verbs: tuple[str, str]) -> Turn:
    """Which of two did it first, or later; the answer is one of the two as the question calls them."""
    other = rng.choice([item for item in range(len(things)) if item != place])
    a, b = called(rng, things, place), called(rng, things, other)
    later = rng.random() < 0.3
    answer = a if (place < other) != later else b
    first, second = (a, b) if rng.random() < 0.5 else (b, a)
    question = phrase(
        rng, _EITHER, past=verbs[0], does=verbs[1], place="later" if later else "first",
        a=first.words, b=second.words,
    )  # fmt: skip
    asks: Facts = frozenset({("order", place), ("order", other)})
    return Turn("order", question, answer.words, asks, asks | a.tells | b.tells)


def ask_how_many(rng: Random, happening: Happening) -> Turn:
    """'How many objects are there at the end?' -> '3'; at the start where things disappear."""
    end = happening.way != "disappear"
    wordings = [wording for wording in COUNT_WORDINGS if wording.startswith("How many {them} ") and "?" in wording]
    when = "at the end" if end else "at the start"
    question = phrase(rng, [wording.replace("?", f" {when}?") for wording in wordings], them="objects")
    fact: Facts = frozenset({("count", when)})
    return Turn("count", question, str(happening.shown[end]), fact, fact)

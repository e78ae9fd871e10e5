"""Things of one image compared by their size and their place, only where the difference is clear.

Held out: one of the things that a test compares, or the one that it asks for, is in its held-out cell (see ``scenes``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from pixelword.synthetic.boxes import box_of
from pixelword.synthetic.comparing import called
from pixelword.synthetic.drawing import outline_mask
from pixelword.synthetic.questions import Facts, Turn, name_of
from pixelword.synthetic.scenes import SMALLEST, Scene, Split, Thing, cell_bounds, draw_distinct, most_things
from pixelword.synthetic.wording import phrase

#: How clear a difference is: sides and areas of a larger thing, as multiples; distances, as shares of a side.
LARGER_SIDE, LARGER_AREA, APART, CLOSER = 1.3, 1.3, 0.2, 0.12
_LARGER = ("Which is {more}, {a} or {b}?", "Which is {more}, {a} or {b}?", "Which one is {more}, {a} or {b}?",
           "What is {more}, {a} or {b}?")  # fmt: skip
_LARGEST = ("Which object is the {most}?", "What is the {most} object?", "Which is the {most} object?",
            "Which object is {most}?", "What is the {most} thing?")  # fmt: skip
_SIZES = {1: (("larger", "bigger"), ("largest", "biggest")), -1: (("smaller",), ("smallest",))}
_IS_IT = ("Is {a} {side} {b}?", "Is {a} {side} {b}?", "Is {a} {side} {b} in the image?")
_FURTHER = ("Which is {further}, {a} or {b}?", "Which is {further}, {a} or {b}?", "Which one is {further}, {a} or {b}?",
            "What is {further}, {a} or {b}?")  # fmt: skip
#: Axis and sign of a direction: the words for a relation, and for a comparison.
_SIDES = {
    (0, -1): (("left of", "to the left of"), ("further left",)),
    (0, 1): (("right of", "to the right of"), ("further right",)),
    (1, -1): (("above",), ("higher", "higher up")),
    (1, 1): (("below",), ("lower", "lower down")),
}
_BORDERS = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}
_EDGES = ("the {} edge", "the {} edge", "the {} of the image", "the {} side")
_NEAREST = ("Which object is nearest to {it}?", "Which object is nearest to {it}?", "What is nearest to {it}?",
            "Which object is closest to {it}?", "What is closest to {it}?")  # fmt: skip


@dataclass(frozen=True)
class Form:
    """A form of question. ask: None where the scene has no difference that is clear enough; least: things needed."""

    ask: Callable[[Random, Scene], Turn | None]
    least: int = 2


def choose_form(rng: Random, level: float) -> Form:
    """One of those that scenes of this level can have."""
    return rng.choice([form for form in _FORMS if form.least <= max(2, most_things(level))])


def draw_compared(rng: Random, level: float, split: Split, least: int = 2) -> Scene:
    """A scene of ``least`` things or more, of any sizes that a cell has room for."""
    number = rng.randint(least, max(least, most_things(level)))
    scene = draw_distinct(rng, number, level=level, split=split)
    return replace(scene, things=tuple(_resized(rng, scene, thing) for thing in scene.things))


def _resized(rng: Random, scene: Scene, thing: Thing) -> Thing:
    left, top, right, bottom = cell_bounds(thing.cell, scene.width, scene.height)
    size = rng.randint(SMALLEST, max(SMALLEST, round(0.96 * min(right - left, bottom - top))))
    return replace(thing, x=rng.randint(left, right - size), y=rng.randint(top, bottom - size), size=size)


def is_larger(thing: Thing, other: Thing) -> bool:
    """Clearly so: longer sides and a larger area, hollow and pointed shapes considered."""
    return thing.size >= LARGER_SIDE * other.size and _area(thing) >= LARGER_AREA * _area(other)


def _area(thing: Thing) -> float:
    return _ink(thing.shape, thing.size)


@lru_cache(maxsize=1024)
def _ink(shape: str, size: int) -> float:
    """Pixels that the outline covers."""
    return sum(value * count for value, count in enumerate(outline_mask(shape, size).histogram())) / 255


def centre(thing: Thing) -> tuple[float, float]:
    """(x, y) of the middle of its box, in pixels."""
    left, top, right, bottom = box_of(thing)
    return (left + right) / 2, (top + bottom) / 2


def offset(scene: Scene, thing: Thing, other: Thing, axis: int) -> float:
    """How far ``one`` is to the right of (axis 0) or below (1) ``other``, as a share of the image's side."""
    return (centre(thing)[axis] - centre(other)[axis]) / (scene.width, scene.height)[axis]


def border_distance(scene: Scene, thing: Thing, border: str) -> float:
    """From a thing's box to a border of the image, as a share of the image's side."""
    axis, sign = _BORDERS[border]
    side, box = (scene.width, scene.height)[axis], box_of(thing)
    return (box[axis] if sign < 0 else side - box[axis + 2]) / side


def distance(scene: Scene, thing: Thing, other: Thing) -> tuple[float, float]:
    """(between the centres, between the boxes) of two things, as shares of the image's shorter side."""
    (x1, y1), (x2, y2) = centre(thing), centre(other)
    a, b = box_of(thing), box_of(other)
    gaps = [max(a[axis] - b[axis + 2], b[axis] - a[axis + 2], 0) for axis in (0, 1)]
    side = min(scene.width, scene.height)
    return ((x1 - x2) ** 2 + (y1 - y2) ** 2) ** 0.5 / side, (gaps[0] ** 2 + gaps[1] ** 2) ** 0.5 / side


def _pairs(scene: Scene) -> list[tuple[int, int]]:
    """Ordered pairs of different things; in a test, those with the thing in its held-out cell."""
    every = range(len(scene.things))
    return [(i, j) for i in every for j in every if i != j and scene.focus in (None, i, j)]


def _either(rng: Random, scene: Scene, pair: tuple[int, int], wordings: Sequence[str], **words: str) -> Turn:
    """A choice between two things, of which the first is the answer."""
    a, b = (called(rng, scene.things, index) for index in pair)
    first, second = (a, b) if rng.random() < 0.5 else (b, a)
    question = phrase(rng, wordings, a=first.words, b=second.words, **words)
    asks: Facts = frozenset({("compared", *sorted(pair), *words.values())})
    return Turn("nearer", question, a.words, asks, asks | a.tells | b.tells)


def _ask_larger(rng: Random, scene: Scene) -> Turn | None:
    """'Which is larger, the star or the circle?' -> 'the star'."""
    things, sign = scene.things, rng.choice((1, 1, -1))
    pairs = [(i, j) for i, j in _pairs(scene) if is_larger(*((things[i], things[j])[::sign]))]
    return _either(rng, scene, rng.choice(pairs), _LARGER, more=rng.choice(_SIZES[sign][0])) if pairs else None


def _ask_largest(rng: Random, scene: Scene) -> Turn | None:
    """'What is the largest object?' -> 'a red star', of three things or more."""
    things, sign = scene.things, rng.choice((1, 1, -1))
    ranked = sorted(range(len(things)), key=lambda index: -sign * things[index].size)
    best, rest = ranked[0], ranked[1:]
    clear = all(is_larger(*((things[best], things[other])[::sign])) for other in rest)
    if scene.focus not in (None, best) or not clear:
        return None
    return _named(scene, best, phrase(rng, _LARGEST, most=rng.choice(_SIZES[sign][1])))


def _named(scene: Scene, index: int, question: str, tells: Facts = frozenset()) -> Turn:
    """A question whose answer is the name of a thing."""
    asks: Facts = frozenset({("colour", index), ("shape", index)})
    return Turn("nearer", question, name_of(scene.things[index]), asks, asks | tells)


def _ask_is_it(rng: Random, scene: Scene) -> Turn | None:
    """'Is the red star left of the blue ring?' -> 'yes' as often as 'no', which means the other side of it."""
    found = _beside(rng, scene)
    if found is None:
        return None
    (i, j), (axis, sign) = found
    yes = rng.random() < 0.5
    side = rng.choice(_SIDES[axis, sign if yes else -sign][0])
    a, b = called(rng, scene.things, i), called(rng, scene.things, j)
    question = phrase(rng, _IS_IT, a=a.words, b=b.words, side=side)
    asks: Facts = frozenset({("cell", i), ("cell", j)})
    return Turn("nearer", question, "yes" if yes else "no", asks, a.tells | b.tells)


def _ask_further(rng: Random, scene: Scene) -> Turn | None:
    """'Which is further left, the star or the circle?' -> 'the star'."""
    found = _beside(rng, scene)
    if found is None:
        return None
    turn = _either(rng, scene, found[0], _FURTHER, further=rng.choice(_SIDES[found[1]][1]))
    return replace(turn, asks=frozenset({("cell", found[0][0]), ("cell", found[0][1])}))


def _beside(rng: Random, scene: Scene) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Two things, and the direction in which the first is clearly away from the second."""
    found = [
        (pair, (axis, sign))
        for pair in _pairs(scene)
        for axis, sign in _SIDES
        if sign * offset(scene, scene.things[pair[0]], scene.things[pair[1]], axis) >= APART
    ]
    return rng.choice(found) if found else None


def _ask_nearest_border(rng: Random, scene: Scene) -> Turn | None:
    """'Which object is nearest to the bottom?' -> 'a red star'."""
    border = rng.choice(tuple(_BORDERS))
    ranked = sorted((border_distance(scene, thing, border), index) for index, thing in enumerate(scene.things))
    (nearest, best), (next_one, _) = ranked[:2]
    if scene.focus not in (None, best) or next_one - nearest < CLOSER:
        return None
    return _named(scene, best, phrase(rng, _NEAREST, it=rng.choice(_EDGES).format(border)))


def _ask_nearest_thing(rng: Random, scene: Scene) -> Turn | None:
    """'Which object is nearest to the heart?' -> 'a blue ring', of three things or more."""
    things, found = scene.things, []
    for index, thing in enumerate(things):
        far = {other: distance(scene, thing, things[other]) for other in range(len(things)) if other != index}
        best = min(far, key=lambda other: far[other])
        clear = all(far[other][way] - far[best][way] >= CLOSER for other in far if other != best for way in (0, 1))
        if clear and scene.focus in (None, best, index):
            found.append((index, best))
    if not found:
        return None
    index, best = rng.choice(found)
    it = called(rng, things, index)
    return _named(scene, best, phrase(rng, _NEAREST, it=it.words), it.tells)


_FORMS = (
    Form(_ask_larger), Form(_ask_larger), Form(_ask_largest, 3), Form(_ask_is_it), Form(_ask_is_it),
    Form(_ask_further), Form(_ask_nearest_border), Form(_ask_nearest_thing, 3),
)  # fmt: skip

"""Composed scenes: what, which colour, how many, where, which side of one another, and what is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Question, Split
from pixelword.synthetic.wording import article, phrase
from pixelword_lab.candidates import Candidate, choose
from pixelword_lab.drawing.backgrounds import worn
from pixelword_lab.drawing.compose import CELLS, Placed, Scene, cell_of, render, side_of
from pixelword_lab.drawing.naming import absent, draw_things, label, made_of, settle, whole
from pixelword_lab.drawing.objects import COLOURS, STYLES, colour_of, cutouts
from pixelword_lab.families.counting import draw_counted
from pixelword_lab.family import Family, Task

KINDS = {
    "what": "image", "colour": "image", "count": "image", "larger": "image", "where": "spatial", "side": "spatial",
    "beside": "spatial", "related": "spatial", "exists": "hallucination",
}  # fmt: skip
SIDES = ("left", "right", "above", "below")
_OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
_TO = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}

_WHAT = (
    "What is {there}?", "What is {there}?", "What can you see {there}?", "Which thing is {there}?",
    "What is {there} of the picture?", "Name the thing {there}.",
)  # fmt: skip
_COLOUR = (
    "What colour is the {it}?", "What colour is the {it}?", "Which colour is the {it}?", "What color is the {it}?",
    "What is the colour of the {it}?", "Tell me the colour of the {it}.",
)  # fmt: skip
_LARGER = (
    "Which is larger in the picture, the {a} or the {b}?", "Which is bigger, the {a} or the {b}?",
    "Which of them is shown larger: the {a} or the {b}?",
)  # fmt: skip
_WHERE = (
    "Where is the {it}?", "Where is the {it}?", "Where in the picture is the {it}?", "In which part is the {it}?",
    "Where can you see the {it}?", "Tell me where the {it} is.",
)  # fmt: skip
_SIDE = (
    "Is the {a} left, right, above or below of the {b}?", "Where is the {a}, seen from the {b}?",
    "On which side of the {b} is the {a}?", "Where is the {a} relative to the {b}?",
)  # fmt: skip
_BESIDE = (
    "What is {to} the {b}?", "What is {to} the {b}?", "Which thing is {to} the {b}?", "What do you see {to} the {b}?",
)  # fmt: skip
_RELATED = (
    "Is the {a} {to} the {b}?", "Is the {a} {to} the {b}?", "Can you see the {a} {to} the {b}?",
    "Does the picture show the {a} {to} the {b}?",
)  # fmt: skip
_EXISTS = (
    "Is there {one}?", "Is there {one} in the picture?", "Can you see {one}?", "Do you see {one} here?",
    "Does the picture show {one}?", "Does this image have {one} in it?",
)  # fmt: skip


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """Two to six unlike things; or, two times in five, several of some, to be counted."""
    pool = cutouts(assets, split)
    names = cutouts(assets, "train").names
    if rng.random() < 0.4:
        scene, candidates = draw_counted(rng, pool, split, names)
    else:
        scene = settle(rng, draw_things(rng, pool, split, rng.choice((2, 2, 3, 3, 4, 4, 5, 5, 6, 6)), shapes=0.25))
        candidates = _asked(rng, scene, names)
    picture = worn(rng, render(scene))
    return Task(({"type": "image", "image": picture},), choose(rng, candidates, rng.randint(3, 5)), made_of(scene))


def _asked(rng: Random, scene: Scene, names: Sequence[str]) -> list[Candidate]:
    """Every question that a scene of unlike things allows, but for those that would be about one thing twice."""
    # coin first, thing second: a "yes" has a thing of its own, which no other question mentions, so that it is asked
    # as often as a "no"
    yes = rng.random() < 0.5
    kept = rng.choice(scene.placed)
    others = tuple(thing for thing in scene.placed if thing is not kept or not yes)
    found = [_exists(rng, scene, kept, names, yes)]
    if rng.random() < 0.4:
        found.append(_total(rng, scene))
    for item in others:
        found += [*_colour(rng, item), *_where(rng, scene, item), *_what(rng, scene, item)]
    for item in others:
        for other in others:
            if item is not other:
                found += [*_sides(rng, item, other), *_larger(rng, item, other)]
    found += [it for item in others for it in _beside(rng, scene, item, kept if yes else None)]
    return found


def mention(*placed: Placed) -> frozenset[tuple[str, str]]:
    """What a question tells by mentioning things: that they are there."""
    return frozenset(("exists", label(thing.cutout)) for thing in placed)


def _exists(rng: Random, scene: Scene, kept: Placed, names: Sequence[str], yes: bool) -> Candidate:
    word = label(kept.cutout) if yes else absent(rng, scene, names)
    fact = frozenset({("exists", word)})
    wording = phrase(rng, _EXISTS, one=article(word))
    answer, boxes = ("yes", (whole(kept),)) if yes else ("no", ())
    return Candidate(Question("exists", wording, answer, "exact", ("yes", "no"), not yes, boxes), fact, fact)


def _total(rng: Random, scene: Scene) -> Candidate:
    wordings = ("How many things are there?", "How many objects are in the picture?", "How many things can you see?")
    answer = str(len(scene.placed))
    fact = frozenset({("count", "things")})
    choices = tuple(str(number) for number in range(2, 7))
    question = Question("count", phrase(rng, wordings), answer, "exact", choices, boxes=tuple(map(whole, scene.placed)))
    return Candidate(question, fact, fact)


def _colour(rng: Random, placed: Placed) -> Iterator[Candidate]:
    colour = colour_of(placed.cutout)
    words = placed.cutout.name
    if colour is None or words.split()[0] in COLOURS:
        return
    fact = frozenset({("colour", words)})
    question = Question(
        "colour", phrase(rng, _COLOUR, it=words), colour, "exact", tuple(COLOURS), boxes=(whole(placed),)
    )
    # of a shape, its colour is part of its label
    yield Candidate(question, fact, fact | mention(placed))


def _where(rng: Random, scene: Scene, placed: Placed) -> Iterator[Candidate]:
    cell = cell_of(placed, scene)
    if cell is None:
        return
    words = label(placed.cutout)
    question = Question("where", phrase(rng, _WHERE, it=words), cell, "exact", CELLS, boxes=(whole(placed),))
    place = frozenset({("place", words)})
    yield Candidate(question, place, place | mention(placed) | _hue(placed))


def _hue(placed: Placed) -> frozenset[tuple[str, str]]:
    """A shape's label tells its colour."""
    return frozenset({("colour", placed.cutout.name)}) if placed.cutout.style == "shape" else frozenset()


def _what(rng: Random, scene: Scene, placed: Placed) -> Iterator[Candidate]:
    """'What is at the top left?' where no other thing reaches into that ninth, or 'What is on the left?' of a half."""
    cell = cell_of(placed, scene)
    if cell is None or any(_touches(other, scene, cell) for other in scene.placed if other is not placed):
        return
    there = f"{ {'left': 'on', 'right': 'on', 'centre': 'in'}.get(cell, 'at') } the {cell}"
    question = Question("what", phrase(rng, _WHAT, there=there), label(placed.cutout), boxes=(whole(placed),))
    words = label(placed.cutout)
    yield Candidate(question, mention(placed), mention(placed) | _hue(placed) | {("place", words)})


def _touches(other: Placed, scene: Scene, cell: str) -> bool:
    row, column = divmod(CELLS.index(cell), 3)
    x1, y1, x2, y2 = other.box
    left, top = column * scene.width / 3, row * scene.height / 3
    return x1 < left + scene.width / 3 and x2 > left and y1 < top + scene.height / 3 and y2 > top


def _sides(rng: Random, placed: Placed, other: Placed) -> Iterator[Candidate]:
    side = side_of(placed, other)
    if side is None:
        return
    a, b = label(placed.cutout), label(other.cutout)
    places = frozenset({("place", a), ("place", b)})
    tells = places | mention(placed, other) | _hue(placed) | _hue(other)
    boxes = (whole(placed), whole(other))
    question = phrase(rng, _SIDE, a=a, b=b)
    yield Candidate(Question("side", question, side, "exact", SIDES, boxes=boxes), places, tells)
    yes = rng.random() < 0.5
    to = _TO[side if yes else _OPPOSITE[side]]
    question = phrase(rng, _RELATED, a=a, b=b, to=to)
    related = Question("related", question, "yes" if yes else "no", "exact", ("yes", "no"), boxes=boxes)
    yield Candidate(related, places, tells)


def _beside(rng: Random, scene: Scene, placed: Placed, hidden: Placed | None) -> Iterator[Candidate]:
    """'What is to the left of the dog?' where exactly one thing is on that side, and nothing else nearly."""
    for side, axis, sign in (("left", 0, -1), ("right", 0, 1), ("above", 1, -1), ("below", 1, 1)):
        that_way = [o for o in scene.placed if o is not placed and sign * (o.centre[axis] - placed.centre[axis]) > 0]
        if len(that_way) != 1 or that_way[0] is hidden or side_of(that_way[0], placed) != side:
            continue
        found = that_way[0]
        words = phrase(rng, _BESIDE, to=_TO[side], b=label(placed.cutout))
        question = Question("beside", words, label(found.cutout), boxes=(whole(found), whole(placed)))
        places = {("place", label(found.cutout)), ("place", label(placed.cutout))}
        tells = mention(found, placed) | _hue(found) | _hue(placed) | places
        yield Candidate(question, mention(found), frozenset(tells))


def _larger(rng: Random, placed: Placed, other: Placed) -> Iterator[Candidate]:
    """Asked where one is at least twice as large, and longer too."""
    longer = max(placed.box[2] - placed.box[0], placed.box[3] - placed.box[1])
    shorter = max(other.box[2] - other.box[0], other.box[3] - other.box[1])
    if placed.area < 2 * other.area or longer < 1.3 * shorter:
        return
    a, b = rng.sample((label(placed.cutout), label(other.cutout)), 2)
    fact = frozenset({("larger", min(a, b), max(a, b))})
    tells = fact | mention(placed, other) | _hue(placed) | _hue(other)
    boxes = (whole(placed), whole(other))
    question = Question("larger", phrase(rng, _LARGER, a=a, b=b), label(placed.cutout), "exact", (a, b), boxes=boxes)
    yield Candidate(question, fact, tells)


FAMILY = Family("scenes", "Composed scenes", KINDS, draw, needs=STYLES)

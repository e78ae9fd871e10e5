"""Grounding both ways: from words to a box, from a box to words, and "none" for an absent thing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from pixelword.processing.boxes import boxed, grounded
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Question, Split
from pixelword.synthetic.wording import article, phrase
from pixelword_lab.candidates import Candidate, choose
from pixelword_lab.drawing.backgrounds import worn
from pixelword_lab.drawing.compose import Placed, Scene, render, side_of
from pixelword_lab.drawing.naming import absent, draw_things, label, made_of, settle, whole
from pixelword_lab.drawing.objects import COLOURS, STYLES, Pool, clash, colour_of, cutouts
from pixelword_lab.family import Family, Task

KINDS = {
    "find": "grounding", "find_by": "grounding", "point": "grounding", "name": "grounding", "colour": "grounding",
    "inside": "grounding", "find_absent": "hallucination",
}  # fmt: skip
#: The answer where nothing fits.
NOTHING = "none"

_FIND = (
    "Find the {it}.", "Find the {it}.", "Where is the {it}? Answer with a box.", "Locate the {it}.",
    "Give the box of the {it}.", "Draw a box around the {it}.", "Detect the {it}.",
)  # fmt: skip
_POINT = ("Point at the {it}.", "Point to the {it}.", "Show me the {it}.", "Put your finger on the {it}.")
_NAME = (
    "What is in {box}?", "What is in {box}?", "What is at {box}?", "Name the thing in {box}.",
    "Which thing does {box} show?", "What do you see in {box}?",
)  # fmt: skip
_COLOUR = ("What colour is the thing in {box}?", "Which colour is the thing at {box}?", "What is the colour of {box}?")
_INSIDE = (
    "Is there {one} in {box}?", "Is {box} {one}?", "Does {box} show {one}?", "Can you see {one} in {box}?",
)  # fmt: skip
_TO = {
    "left": "to the left of the {b}", "right": "to the right of the {b}", "above": "above the {b}",
    "below": "below the {b}",
}  # fmt: skip
_MOST = {"leftmost": (0, -1), "rightmost": (0, 1), "topmost": (1, -1), "lowest": (1, 1)}


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """Two to six things; in one scene of three, two or three of them are alike and differ by where they are."""
    pool = cutouts(assets, split)
    things = draw_things(rng, pool, split, rng.choice((1, 2, 3, 3, 4, 5, 6)), shapes=0.2)
    twins = rng.random() < 0.35
    if twins:
        things = [things[0]] * rng.randint(2, 3) + things[1:4]
    scene = settle(rng, things, tokens=(36, 220), fill=(0.15, 0.5))
    candidates = _asked(rng, scene, cutouts(assets, "train"))
    picture = worn(rng, render(scene))
    return Task(({"type": "image", "image": picture},), choose(rng, candidates, rng.randint(3, 5)), made_of(scene))


def _asked(rng: Random, scene: Scene, taught: Pool) -> list[Candidate]:
    """Every thing is asked for once at most: any question tells where it is and what."""
    alone = [thing for thing in scene.placed if sum(o.cutout.name == thing.cutout.name for o in scene.placed) == 1]
    found = [_absent(rng, scene, taught)] if rng.random() < 0.4 else []
    for item in alone:
        found += [_find(rng, scene, item), _point(rng, scene, item)]
    for thing in scene.placed:
        found += [_name(rng, scene, thing), _inside(rng, scene, thing, taught), *_colour(rng, scene, thing)]
    found += [*_beside(rng, scene, alone), *_outermost(rng, scene)]
    return found


def _key(scene: Scene, placed: Placed) -> frozenset[int]:
    return frozenset({scene.placed.index(placed)})


def _find(rng: Random, scene: Scene, placed: Placed) -> Candidate:
    words, fact = label(placed.cutout), _key(scene, placed)
    question, answer = phrase(rng, _FIND, it=words), grounded(words, placed.box, scene.size)
    return Candidate(Question("find", question, answer, "box", boxes=(whole(placed),)), fact, fact)


def _point(rng: Random, scene: Scene, placed: Placed) -> Candidate:
    fact = _key(scene, placed)
    question, answer = phrase(rng, _POINT, it=label(placed.cutout)), boxed(placed.box, scene.size)
    return Candidate(Question("point", question, answer, "point", boxes=(whole(placed),)), fact, fact)


def _name(rng: Random, scene: Scene, placed: Placed) -> Candidate:
    fact = _key(scene, placed)
    question = phrase(rng, _NAME, box=boxed(placed.box, scene.size))
    return Candidate(Question("name", question, label(placed.cutout), boxes=(whole(placed),)), fact, fact)


def _colour(rng: Random, scene: Scene, placed: Placed) -> Iterator[Candidate]:
    colour = colour_of(placed.cutout)
    if colour is None:
        return
    question = phrase(rng, _COLOUR, box=boxed(placed.box, scene.size))
    fact = _key(scene, placed)
    yield Candidate(Question("colour", question, colour, "exact", tuple(COLOURS), boxes=(whole(placed),)), fact, fact)


def _inside(rng: Random, scene: Scene, placed: Placed, taught: Pool) -> Candidate:
    """'Is there a dog in <box>?'; a "no" asks for what is elsewhere in the image, or nowhere."""
    yes = rng.random() < 0.5
    others = [o for o in scene.placed if not clash(o.cutout.name, placed.cutout.name)]
    word = label(placed.cutout)
    if not yes:
        word = label(rng.choice(others).cutout) if others and rng.random() < 0.6 else absent(rng, scene, taught.names)
    question = phrase(rng, _INSIDE, one=article(word), box=boxed(placed.box, scene.size))
    fact = _key(scene, placed)
    answer = Question("inside", question, "yes" if yes else "no", "exact", ("yes", "no"), not yes, (whole(placed),))
    return Candidate(answer, fact, fact)


def _absent(rng: Random, scene: Scene, taught: Pool) -> Candidate:
    word = absent(rng, scene, taught.names)
    question = phrase(rng, _FIND, it=word)
    fact = frozenset({word})
    return Candidate(Question("find_absent", question, NOTHING, absent=True), fact, fact)


def _beside(rng: Random, scene: Scene, alone: Sequence[Placed]) -> Iterator[Candidate]:
    """'Find the thing to the left of the dog.', where one thing alone is on that side."""
    for other in alone:
        for side, axis, sign in (("left", 0, -1), ("right", 0, 1), ("above", 1, -1), ("below", 1, 1)):
            there = [o for o in scene.placed if o is not other and sign * (o.centre[axis] - other.centre[axis]) > 0]
            if len(there) == 1 and side_of(there[0], other) == side:
                words = "thing " + _TO[side].format(b=label(other.cutout))
                yield _by(rng, scene, there[0], words, (there[0], other))


def _outermost(rng: Random, scene: Scene) -> Iterator[Candidate]:
    """'Find the leftmost dog.', where it is clearly that, of two or three alike or of all things."""
    groups: dict[str, list[Placed]] = {"thing": list(scene.placed)}
    for thing in scene.placed:
        groups.setdefault(label(thing.cutout), []).append(thing)
    for word, group in groups.items():
        for most, (axis, sign) in _MOST.items():
            ranked = sorted(group, key=lambda item: -sign * item.centre[axis])
            if len(ranked) < 2 or abs(ranked[0].centre[axis] - ranked[1].centre[axis]) < 0.08 * scene.size[axis]:
                continue
            yield _by(rng, scene, ranked[0], f"{most} {word}", (ranked[0],))
        ranked = sorted(group, key=lambda item: -item.area)
        if len(ranked) > 1 and ranked[0].area > 1.8 * ranked[1].area:
            yield _by(rng, scene, ranked[0], f"largest {word}", (ranked[0],))


def _by(rng: Random, scene: Scene, placed: Placed, words: str, shown: Sequence[Placed]) -> Candidate:
    facts = frozenset(scene.placed.index(other) for other in shown)
    question = phrase(rng, _FIND, it=words)
    answer = grounded(label(placed.cutout), placed.box, scene.size)
    # what is asked for is unknown until then; what it is beside may be known
    asks = _key(scene, placed)
    return Candidate(Question("find_by", question, answer, "box", boxes=(whole(placed),)), asks, facts)


FAMILY = Family("grounding", "Boxes to words and back", KINDS, draw, needs=STYLES)

"""Questions about rooms and walks, answered from where things really stand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Any

from pixelword.processing.boxes import boxed, grounded
from pixelword.synthetic.types import Box, Question
from pixelword.synthetic.wording import article, phrase, plural
from pixelword_lab.candidates import Candidate
from pixelword_lab.families.rooms.layout import alike

#: Kind of question -> category of the suite.
KINDS = {
    "nearer": "spatial", "nearest": "spatial", "taller": "spatial", "side": "spatial", "how far": "spatial",
    "apart": "spatial", "how tall": "spatial", "count": "spatial", "exists": "hallucination", "find": "grounding",
    "name": "grounding", "turn": "spatial", "move": "spatial", "first": "spatial", "back": "spatial",
    "seen": "hallucination",
}  # fmt: skip
#: How much nearer or taller the one must be than the other to be asked for.
_NEARER, _TALLER = 1.3, 1.25
_WHICH_NEARER = ("Which is nearer, {one} or {other}?", "Which is closer to the camera, {one} or {other}?",
                 "What is nearer to the viewer, {one} or {other}?")  # fmt: skip
_WHICH_FARTHER = ("Which is farther away, {one} or {other}?", "What is farther from the camera, {one} or {other}?")
_NEAREST = ("What is nearest to the camera?", "Which thing is nearest?", "What stands closest to the viewer?")
_FARTHEST = ("What is farthest away?", "Which thing is farthest from the camera?")
_WHICH_TALLER = ("Which is taller, {one} or {other}?", "What is taller in reality, {one} or {other}?")
_WHICH_SHORTER = ("Which is lower, {one} or {other}?", "Which is less tall, {one} or {other}?")
_SIDE = ("Is {one} to the left or to the right of {other}?", "On which side of {other} is {one}, left or right?",
         "Is {one} left or right of {other}?")  # fmt: skip
_FAR = ("How far away is {one}, in metres?", "How many metres away is {one}?",
        "What is the distance from the camera to {one} in metres?")  # fmt: skip
_APART = ("How far apart are {one} and {other}, in metres?", "How many metres are there between {one} and {other}?",
          "How far is {one} from {other} in metres?")  # fmt: skip
_TALL = ("How tall is {one}, in centimetres?", "What is the height of {one} in centimetres?",
         "About how many centimetres tall is {one}?")  # fmt: skip
_COUNT = ("How many {them} are there?", "How many {them} are in the room?", "How many {them} can you see?",
          "Count the {them}.")  # fmt: skip
_EXISTS = ("Is there {one} in the room?", "Is there {one}?", "Can you see {one}?", "Does the room have {one}?")
_FIND = ("Where is {one}? Give its box.", "Find {one}.", "Locate {one}.", "Give the box of {one}.")
_NAME = ("What is in {box}?", "What stands at {box}?", "Name the thing in {box}.")
_TURN = ("Which way does the camera turn?", "Does the camera turn left or right?",
         "In which direction does the viewer turn?")  # fmt: skip
_MOVE = ("Which way does the camera move?", "Does the camera move forwards, backwards, left or right?",
         "In which direction does the viewer move?")  # fmt: skip
_FIRST = ("Which is seen first, {one} or {other}?", "What comes into view first, {one} or {other}?",
          "{one} or {other}: which is seen first?")  # fmt: skip
_BACK = ("To see {one} again, which way must the camera turn?",
         "At the end, is {one} to the left or to the right of what is seen?")  # fmt: skip
_SEEN = ("Is {one} seen on the walk?", "Does the walk show {one}?", "Is there {one} in the video?")
_MOVES = ("forwards", "backwards", "left", "right")


@dataclass(frozen=True)
class Thing:
    """What questions know of a thing. boxes: of every frame, None where it is not seen; see `shoot` for the rest."""

    label: str
    size: tuple[float, float, float]
    x: float
    z: float
    radius: float
    distance: float
    boxes: tuple[Box | None, ...]

    @property
    def the(self) -> str:
        return f"the {self.label}"

    @property
    def height(self) -> float:
        return self.size[1]


def things_of(facts: dict[str, Any]) -> list[Thing]:
    """The facts' things; those that a walk never shows are left out."""
    found = []
    for thing in facts["things"]:
        boxes = tuple(None if box is None else (box[0], box[1], box[2], box[3]) for box in thing["boxes"])
        if any(boxes):
            width, height, depth = thing["size"]
            found.append(Thing(thing["label"], (width, height, depth), thing["x"], thing["z"], thing["radius"],
                               thing["distance"], boxes))  # fmt: skip
    return found


def about_picture(rng: Random, things: Sequence[Thing], size: tuple[int, int], names: Sequence[str]) -> list[Candidate]:
    """Everything that can be asked of an image of (width, height). names: all labels that the split has."""
    single = [thing for thing in things if sum(thing.label == other.label for other in things) == 1]
    found = [*_compared(rng, single), *_measured(rng, single), *_counted(rng, things, names)]
    found += [*_grounded(rng, things, single, size), *_exists(rng, things, names, "exists", _EXISTS)]
    return found


def about_walk(rng: Random, things: Sequence[Thing], way: str, names: Sequence[str]) -> list[Candidate]:
    """Everything that can be asked of a walk. way: "turn left", ..., "forwards", "backwards", "left" or "right"."""
    turns = way.startswith("turn")
    if turns:
        question = Question("turn", phrase(rng, _TURN), way.removeprefix("turn "), choices=("left", "right"))
    else:
        question = Question("move", phrase(rng, _MOVE), way, choices=_MOVES)
    found = [Candidate(question, frozenset({("way",)}), frozenset({("way",)}))]
    found += _exists(rng, things, names, "seen", _SEEN)
    single = [item for item in things if sum(item.label == other.label for other in things) == 1]
    if not turns:
        return [*found, *_compared(rng, [item for item in single if all(item.boxes)], ("taller",))]
    starts = {item.label: next(step for step, box in enumerate(item.boxes) if box) for item in single}
    pairs = [
        (item, other) for item, other in permutations(single, 2) if abs(starts[item.label] - starts[other.label]) > 1
    ]
    for item, other in rng.sample(pairs, min(1, len(pairs))):
        right = min(item, other, key=lambda thing: starts[thing.label])
        question = Question("first", phrase(rng, _FIRST, one=item.the, other=other.the), right.the,
                            choices=(item.the, other.the), boxes=(_sight(item), _sight(other)))  # fmt: skip
        found.append(Candidate(question, tells=_facts(item, other)))
    gone = [item for item in single if item.boxes[0] is not None and item.boxes[-1] is None]
    for item in rng.sample(gone, min(1, len(gone))):
        back = "left" if way == "turn right" else "right"
        question = Question(
            "back", phrase(rng, _BACK, one=item.the), back, choices=("left", "right"), boxes=(_sight(item),)
        )
        # it is the other way than the camera's
        found.append(Candidate(question, frozenset({("way",)}), frozenset({("way",)}) | _facts(item)))
    return found


def _facts(*things: Thing) -> frozenset[tuple[str, str]]:
    """What naming things gives away: that they are there."""
    return frozenset(("exists", thing.label) for thing in things)


def _sight(thing: Thing, last: bool = False) -> tuple[int, Box]:
    """(frame, box) of the first or last time that a thing is seen."""
    seen = [(number, box) for number, box in enumerate(thing.boxes) if box is not None]
    return seen[-1 if last else 0]


def _compared(
    rng: Random, single: Sequence[Thing], kinds: Sequence[str] = ("nearer", "taller", "side")
) -> Iterator[Candidate]:
    """Of two things, one of each kind of comparison whose answer is beyond doubt; and what is nearest of all."""
    pairs = list(permutations(single, 2))
    rng.shuffle(pairs)
    for kind in kinds:
        found = next((pair for pair in pairs if _differ(kind, *pair)), None)
        if found is None:
            continue
        item, other = found
        both = (item.the, other.the)
        boxes = (_sight(item), _sight(other))
        if kind == "side":
            middles = [box[0] + box[2] for _, box in boxes]
            answer, choices = ("left" if middles[0] < middles[1] else "right"), ("left", "right")
            question = phrase(rng, _SIDE, one=both[0], other=both[1])
        else:
            less = rng.random() < 0.5
            wordings = {"nearer": (_WHICH_NEARER, _WHICH_FARTHER), "taller": (_WHICH_SHORTER, _WHICH_TALLER)}[kind]
            question, choices = phrase(rng, wordings[not less], one=both[0], other=both[1]), both
            sizes = [(thing.distance if kind == "nearer" else thing.height) for thing in found]
            answer = both[sizes.index(min(sizes) if less else max(sizes))]
        fact = frozenset({(kind, item.label), (kind, other.label)})
        yield Candidate(
            Question(kind, question, answer, choices=choices, boxes=boxes), fact, fact | _facts(item, other)
        )
    if "nearer" in kinds and len(single) > 2:
        yield from _extremes(rng, single)


def _differ(kind: str, item: Thing, other: Thing) -> bool:
    """Whether people would agree on how two things compare."""
    if kind == "taller":
        return max(item.height, other.height) >= _TALLER * min(item.height, other.height)
    if kind == "nearer":
        near, far = sorted((item, other), key=lambda thing: thing.distance)
        edges = near.distance + near.radius * 0.5 < far.distance - far.radius * 0.5
        return far.distance >= _NEARER * near.distance and edges
    (a, b), (c, d) = ((box[0], box[2]) for _, box in (_sight(item), _sight(other)))
    apart = abs(a + b - c - d) / 2
    return apart > 0.55 * (b - a + d - c) / 2


def _extremes(rng: Random, single: Sequence[Thing]) -> Iterator[Candidate]:
    """The nearest or the farthest of all."""
    ordered = sorted(single, key=lambda thing: thing.distance)
    for wordings, item, next_to in ((_NEAREST, ordered[0], ordered[1]), (_FARTHEST, ordered[-1], ordered[-2])):
        if _differ("nearer", item, next_to):
            fact = frozenset(("nearer", thing.label) for thing in single)
            question = Question("nearest", phrase(rng, wordings), item.label, boxes=(_sight(item),))
            yield Candidate(question, fact | _facts(item), fact)


def _measured(rng: Random, single: Sequence[Thing]) -> Iterator[Candidate]:
    """Metres and centimetres."""
    for item in rng.sample(single, min(2, len(single))):
        question = Question("how far", phrase(rng, _FAR, one=item.the), f"{item.distance:.1f}", "number",
                            boxes=(_sight(item),), tolerance=0.25)  # fmt: skip
        yield Candidate(question, frozenset({("how far", item.label)}), _facts(item) | {("nearer", item.label)})
        question = Question("how tall", phrase(rng, _TALL, one=item.the), str(5 * round(20 * item.height)), "number",
                            boxes=(_sight(item),), tolerance=0.25)  # fmt: skip
        yield Candidate(question, frozenset({("how tall", item.label)}), _facts(item) | {("taller", item.label)})
    if len(single) > 1:
        item, other = rng.sample(single, 2)
        metres = math.hypot(item.x - other.x, item.z - other.z)
        question = Question("apart", phrase(rng, _APART, one=item.the, other=other.the), f"{metres:.1f}", "number",
                            boxes=(_sight(item), _sight(other)), tolerance=0.25)  # fmt: skip
        yield Candidate(question, tells=_facts(item, other))


def _counted(rng: Random, things: Sequence[Thing], names: Sequence[str]) -> Iterator[Candidate]:
    """How many there are of what the room has, or of what it does not have."""
    here = sorted({thing.label for thing in things})
    many = [label for label in here if sum(thing.label == label for thing in things) > 1]
    absent = _strangers(names, things)
    groups = [group for group in (many, many, many, here, absent) if group]
    label = rng.choice(rng.choice(groups))
    boxes = tuple(_sight(thing) for thing in things if thing.label == label)
    question = Question("count", phrase(rng, _COUNT, them=plural(label)), str(len(boxes)), "number",
                        absent=not boxes, boxes=boxes)  # fmt: skip
    yield Candidate(question, frozenset({("count", label)}), frozenset({("count", label), ("exists", label)}))


def _exists(
    rng: Random, things: Sequence[Thing], names: Sequence[str], kind: str, wordings: Sequence[str]
) -> Iterator[Candidate]:
    """Yes and no, as often."""
    absent = _strangers(names, things)
    if absent and rng.random() < 0.5:
        label = rng.choice(absent)
        question = Question(kind, phrase(rng, wordings, one=article(label)), "no", choices=("yes", "no"), absent=True)
        yield Candidate(question, frozenset({("exists", label)}), frozenset({("count", label)}))
    else:
        item = rng.choice(things)
        question = Question(kind, phrase(rng, wordings, one=article(item.label)), "yes", choices=("yes", "no"),
                            boxes=(_sight(item),))  # fmt: skip
        yield Candidate(question, _facts(item), _facts(item))


def _strangers(names: Sequence[str], things: Sequence[Thing]) -> list[str]:
    """Names for nothing in the room."""
    return [name for name in names if not any(alike(name, thing.label) for thing in things)]


def _grounded(
    rng: Random, things: Sequence[Thing], single: Sequence[Thing], size: tuple[int, int]
) -> Iterator[Candidate]:
    """The box of a name, and the name of a box."""
    for item in rng.sample(single, min(1, len(single))):
        sight = _sight(item)
        question = Question("find", phrase(rng, _FIND, one=item.the), grounded(item.label, sight[1], size), "box",
                            boxes=(sight,))  # fmt: skip
        yield Candidate(question, frozenset({("box", item.label)}), _facts(item) | {("box", item.label)})
    item = rng.choice(things)
    sight = _sight(item)
    question = Question("name", phrase(rng, _NAME, box=boxed(sight[1], size)), item.label, boxes=(sight,))
    yield Candidate(question, _facts(item) | {("box", item.label)}, _facts(item) | {("box", item.label)})

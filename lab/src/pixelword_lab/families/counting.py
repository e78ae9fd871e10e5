"""Scenes to count in: several of one thing among others, none of it, or coloured shapes counted by what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from pixelword.synthetic.types import Question, Split
from pixelword.synthetic.wording import phrase, plural, uncounted
from pixelword_lab.candidates import Candidate
from pixelword_lab.drawing.compose import Scene
from pixelword_lab.drawing.naming import absent, draw_things, label, settle, shows, whole
from pixelword_lab.drawing.objects import COLOURS, SHAPES, Cutout, Pool, clash, colour_of, concepts, shape

MOST = 6
_CHOICES = tuple(str(number) for number in range(MOST + 1))
_COUNT = (
    "How many {them} are there?", "How many {them} are there?", "How many {them} can you see?", "Count the {them}.",
    "How many {them} are in the picture?", "How many {them}?", "What is the number of {them}?",
)  # fmt: skip
_ANY = (
    "Are there any {them}?", "Are there any {them} in the picture?", "Can you see any {them}?", "Do you see {them}?",
)  # fmt: skip

_THESE = (
    "What is in the picture?", "What does the picture show?", "What can you see here?", "What is shown?",
)  # fmt: skip

Wanted = Callable[[Cutout], bool]


Counted = tuple[Scene, list[Candidate]]


def draw_counted(rng: Random, pool: Pool, split: Split, names: Sequence[str]) -> Counted:
    """A scene and its questions: of things three times in four, else of plain shapes."""
    return _of_things(rng, pool, split, names) if rng.random() < 0.72 else _of_shapes(rng, split)


def _of_things(rng: Random, pool: Pool, split: Split, names: Sequence[str]) -> Counted:
    """One to three sorts of things, up to six of each and nine in all; every number of the first as often."""
    first = rng.randint(0, MOST)
    sorts = draw_things(rng, pool, split, rng.randint(1 if first else 2, 3), shapes=0.0, fits=_counted)
    numbers = [first, *(rng.randint(1, 4) for _ in sorts[1:])]
    things: list[Cutout] = []
    for sort, number in zip(sorts, numbers, strict=True):
        # the same image every time, or any image of the same thing
        alike = [sort] if rng.random() < 0.6 else pool.by_name[sort.name]
        things += [rng.choice(alike) for _ in range(number)]
    scene = _shuffled(rng, things[:9])
    found, counted = [], sorts
    if len(sorts) > 1:
        # a "yes" has a sort of its own, which is not counted, so that it is asked as often as a "no"
        yes = rng.random() < 0.5
        counted = sorts[:-1] if yes else sorts
        word = sorts[-1].name if yes else absent(rng, scene, [name for name in names if not uncounted(name)])
        found.append(_any(rng, scene, word, yes and shows(scene, word)))
    else:
        found += _alike(rng, scene)
    found += [_count(rng, scene, plural(sort.name), _is(sort.name), {sort.name}) for sort in counted]
    kinds = {concepts()[thing.name].kind: None for thing in things}
    if all(concepts()[thing.name].countable for thing in things):
        for kind in kinds:
            shown = {thing.name for thing in things if thing.kind == kind}
            if len(shown) > 1:  # of one sort it would be the same question twice
                found.append(_count(rng, scene, plural(kind), _of_kind(kind), {kind}))
    return scene, [item for item in found if item.question.kind != "count" or item.question.answer in _CHOICES]


def _of_shapes(rng: Random, split: Split) -> Counted:
    """Shapes that share a form or a colour, counted by form, colour or both."""
    first, second = shape(rng, split), shape(rng, split)
    things = [first] * rng.randint(1, 4) + [second] * rng.randint(0, 2)
    colour, form = colour_of(first), first.name
    for _ in range(rng.randint(1, 3)):
        things.append(shape(rng, split, colour=colour) if rng.random() < 0.5 else shape(rng, split, shape=form))
    scene = _shuffled(rng, things[:8])
    seen = [(colour, form), (colour, None), (None, form), (colour_of(second), None), (None, second.name)]
    found = []
    for hue, name in dict.fromkeys(
        [*seen, rng.choice(((rng.choice(tuple(COLOURS)), form), (colour, rng.choice(SHAPES))))]
    ):
        wanted = _shape_is(hue, name)
        if sum(wanted(thing.cutout) for thing in scene.placed) > MOST or _unsure(scene, name):
            continue
        words = " ".join(filter(None, (hue, plural(name) if name else rng.choice(("shapes", "things")))))
        # a red circle counts among the red things: one number says something about the other
        found.append(_count(rng, scene, words, wanted, {name or "", hue or ""} - {""}))
    yes = rng.random() < 0.5
    word = label(rng.choice(scene.placed).cutout) if yes else absent(rng, scene, ())
    found.append(_any(rng, scene, word, yes))
    return scene, found


def _alike(rng: Random, scene: Scene) -> list[Candidate]:
    """Of several things of one sort: what they are, and their colour where all have the same."""
    item, boxes = scene.placed[0].cutout, tuple(map(whole, scene.placed))
    many = plural(item.name)
    exists = frozenset({("exists", item.name)})
    words = phrase(rng, _THESE)
    found = [Candidate(Question("what", words, many if len(boxes) > 1 else item.name, boxes=boxes), exists, exists)]
    colours = {colour_of(other.cutout) for other in scene.placed}
    if len(colours) == 1 and colours != {None} and item.name.split()[0] not in COLOURS and len(boxes) > 1:
        fact = frozenset({("colour", item.name)})
        words = phrase(rng, ("What colour are the {them}?", "Which colour are the {them}?"), them=many)
        question = Question("colour", words, str(colour_of(item)), "exact", tuple(COLOURS), boxes=boxes)
        found.append(Candidate(question, fact, fact | exists))
    return found


def _counted(cutout: Cutout) -> bool:
    return not uncounted(cutout.name)


def _unsure(scene: Scene, name: str | None) -> bool:
    return name is not None and any(
        thing.cutout.name != name and clash(name, thing.cutout.name) for thing in scene.placed
    )


def _shuffled(rng: Random, things: Sequence[Cutout]) -> Scene:
    fill = (0.3, 0.5) if len(things) > 4 else (0.15, 0.45)
    return settle(rng, rng.sample(things, len(things)), tokens=(48 + 8 * len(things), 220), fill=fill)


def _is(name: str) -> Wanted:
    return lambda item: item.name == name


def _of_kind(kind: str) -> Wanted:
    return lambda item: concepts()[item.name].kind == kind


def _shape_is(colour: str | None, name: str | None) -> Wanted:
    return lambda item: colour in (None, colour_of(item)) and name in (None, item.name)


def _count(rng: Random, scene: Scene, words: str, wanted: Wanted, about: set[str]) -> Candidate:
    found = [thing for thing in scene.placed if wanted(thing.cutout)]
    asks = frozenset(("count", word) for word in about)
    boxes = tuple(map(whole, found))
    question = Question("count", phrase(rng, _COUNT, them=words), str(len(found)), "exact", _CHOICES, not found, boxes)
    return Candidate(question, asks, asks | {("exists", word) for word in about})


def _any(rng: Random, scene: Scene, word: str, yes: bool) -> Candidate:
    """'Are there any dogs?'; of 'red circles' no other question may tell how many are red, or circles."""
    boxes = tuple(whole(thing) for thing in scene.placed if label(thing.cutout) == word)
    question = phrase(rng, _ANY, them=plural(word))
    parts = [word] if word in concepts() else word.split()
    asks = frozenset(("exists", part) for part in parts)
    answer = Question("exists", question, "yes" if yes else "no", "exact", ("yes", "no"), not yes, boxes)
    return Candidate(answer, asks, asks if yes else asks | {("count", part) for part in parts})

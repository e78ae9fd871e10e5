"""Questions about a scene, their answers, and what each gives away about the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pixelword.synthetic.scenes import CELLS, COLOURS, SHAPES, Pair, Scene, Thing
from pixelword.synthetic.wording import article, phrase, plural

Fact = tuple[object, ...]
Facts = frozenset[Fact]
# Facts: ("colour" | "shape" | "cell", index of the thing) and ("count", colour or "", shape or "")


@dataclass(frozen=True)
class Turn:
    """One question with its answer. asks: the facts it needs; tells: the facts question and answer give away."""

    kind: str
    question: str
    answer: str
    asks: Facts
    tells: Facts


@dataclass(frozen=True)
class Reference:
    """Words that mean one thing of the scene, and what they give away."""

    words: str
    tells: Facts


def at(cell: int) -> str:
    """'at the top left', 'on the right', 'in the centre'."""
    name = CELLS[cell]
    return f"{ {'left': 'on', 'right': 'on', 'centre': 'in'}.get(name, 'at') } the {name}"


def name_of(thing: Thing) -> str:
    """'a red circle'."""
    return article(f"{thing.colour} {thing.shape}")


def count(scene: Scene, colour: str = "", shape: str = "") -> int:
    """How many things have this colour and this shape; "" is any."""
    return sum((not colour or t.colour == colour) and (not shape or t.shape == shape) for t in scene.things)


def references(scene: Scene, index: int, *, hide: str) -> list[Reference]:
    """Every short way to mean the thing without its ``hide`` ("colour", "shape" or "cell")."""
    thing, ways = scene.things[index], []
    colour = "" if hide == "colour" else thing.colour
    shape = "" if hide == "shape" else thing.shape
    for c, s in {(colour, shape), (colour, ""), ("", shape), ("", "")}:
        if count(scene, c, s) == 1:
            tells = {("count", c, s)} | ({("colour", index)} if c else set()) | ({("shape", index)} if s else set())
            ways += [Reference(" ".join(w for w in ("the", c, noun) if w), frozenset(tells)) for noun in _nouns(s)]
    if len(scene.things) == 1:
        ways.append(Reference("it", frozenset({("count", "", "")})))
    if hide != "cell" and not scene.large:
        ways.append(Reference(f"the object {at(thing.cell)}", frozenset({("cell", index)})))
    # set order is not the same in every process, and a draw must be
    return sorted(ways, key=lambda way: way.words)


def _nouns(shape: str) -> tuple[str, ...]:
    return (shape,) if shape else ("object", "shape")


def _pick(rng: Random, scene: Scene, candidates: list[int]) -> int:
    """One of the things; in a test the held-out one where it is among them."""
    return scene.focus if scene.focus is not None and scene.focus in candidates else rng.choice(candidates)


def _about(rng: Random, scene: Scene, known: Facts, hide: str) -> tuple[int, Reference] | None:
    """A thing whose ``hide`` is not known yet, and words for it."""
    ways = {i: references(scene, i, hide=hide) for i in range(len(scene.things)) if (hide, i) not in known}
    candidates = [i for i, found in ways.items() if found]
    if not candidates:
        return None
    index = _pick(rng, scene, candidates)
    return index, rng.choice(ways[index])


COLOUR_WORDINGS = (
    "What colour is {it}?", "What colour is {it}?", "Which colour is {it}?", "What is the colour of {it}?",
    "Tell me the colour of {it}.", "What color is {it}?",
)  # fmt: skip
SHAPE_WORDINGS = (
    "What shape is {it}?", "What shape is {it}?", "Which shape is {it}?", "What is the shape of {it}?",
    "Tell me the shape of {it}.",
)  # fmt: skip
WHERE_WORDINGS = (
    "Where is {it}?", "Where is {it}?", "Where is {it}?", "Where can you see {it}?",
    "In which part of the picture is {it}?", "Where in the picture is {it}?", "Tell me where {it} is.",
)  # fmt: skip
COUNT_WORDINGS = (
    "How many {them} are there?", "How many {them} are there?", "How many {them} can you see?", "Count the {them}.",
    "How many {them} are in the picture?", "How many {them}?", "What is the number of {them}?",
)  # fmt: skip
WHAT_WORDINGS = (
    "What is {there}?", "What is {there}?", "What can you see {there}?", "Which object is {there}?",
    "What do you see {there}?", "What is {there} of the picture?",
)  # fmt: skip
DESCRIBE_WORDINGS = (
    "Describe the picture.", "Describe the picture.", "What is in the picture?", "What can you see?",
    "What do you see?", "What is in this picture?", "Describe this image.", "Name the objects in the picture.",
)  # fmt: skip
EXISTS_WORDINGS = (
    "Is there {one}?", "Is there {one}?", "Is there {one} in the picture?", "Can you see {one}?", "Do you see {one}?",
    "Does the picture show {one}?",
)  # fmt: skip


def ask_colour(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'What colour is the circle?' -> 'red'."""
    found = _about(rng, scene, known, "colour")
    return found and _attribute("colour", rng, COLOUR_WORDINGS, scene.things[found[0]].colour, *found)


def ask_shape(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'What shape is the red object?' -> 'circle'."""
    found = _about(rng, scene, known, "shape")
    return found and _attribute("shape", rng, SHAPE_WORDINGS, scene.things[found[0]].shape, *found)


def ask_where(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'Where is the red circle?' -> 'top left'."""
    found = None if scene.large else _about(rng, scene, known, "cell")
    if found is None:
        return None
    turn = _attribute("where", rng, WHERE_WORDINGS, CELLS[scene.things[found[0]].cell], *found)
    return Turn("where", turn.question, turn.answer, frozenset({("cell", found[0])}), turn.tells | {("cell", found[0])})


def _attribute(kind: str, rng: Random, wordings: tuple[str, ...], answer: str, index: int, way: Reference) -> Turn:
    fact = frozenset({(kind, index)})
    return Turn(kind, phrase(rng, wordings, it=way.words), answer, fact, fact | way.tells)


def ask_count(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'How many objects are there?' -> '3'."""
    return ask_count_of(rng, scene, "", "")


def ask_count_of(rng: Random, scene: Scene, colour: str, shape: str) -> Turn:
    """'How many red circles are there?' -> '2'; "" is any colour or shape."""
    noun = plural(shape) if shape else rng.choice(("objects", "objects", "shapes"))
    question = phrase(rng, COUNT_WORDINGS, them=f"{colour} {noun}".strip())
    fact = frozenset({("count", colour, shape)})
    kind = "count_of" if colour or shape else "count"
    return Turn(kind, question, str(count(scene, colour, shape)), fact, fact)


_SIDES = {"left": (0, 3, 6), "right": (2, 5, 8), "top": (0, 1, 2), "bottom": (6, 7, 8)}


def ask_what(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'What is on the left?' -> 'a red circle'; a side is asked for where one thing alone is on it."""
    if scene.large:
        return None
    places: list[tuple[int, int]] = []  # (thing, cell whose name is asked for)
    for index, thing in enumerate(scene.things):
        if {("colour", index), ("shape", index)} <= known:
            continue
        if CELLS[thing.cell] not in _SIDES:
            places.append((index, thing.cell))
        for side, cells in _SIDES.items():
            if thing.cell in cells and sum(other.cell in cells for other in scene.things) == 1:
                places.append((index, CELLS.index(side)))
    if not places:
        return None
    index = _pick(rng, scene, [index for index, _ in places])
    cell = rng.choice([cell for i, cell in places if i == index])
    asks = frozenset({("colour", index), ("shape", index)})
    question = phrase(rng, WHAT_WORDINGS, there=at(cell))
    return Turn("what", question, name_of(scene.things[index]), asks, asks | {("cell", index)})


def ask_describe(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'Describe the picture.' -> 'a red circle at the top left, a blue square on the right', in reading order."""
    things = sorted(scene.things, key=lambda thing: thing.cell)
    answer = ", ".join(f"{name_of(thing)} {at(thing.cell)}" for thing in things)
    everything = {(fact, i) for fact in ("colour", "shape", "cell") for i in range(len(things))}
    return Turn("describe", phrase(rng, DESCRIBE_WORDINGS), answer, frozenset({("all",)}), frozenset(everything))


def ask_yesno(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'Is there a red circle?' -> 'yes' as often as 'no'; a 'no' mostly asks for something nearly there."""
    if rng.random() < 0.35:
        return _is_it(rng, scene, known)
    fresh = [i for i in range(len(scene.things)) if not {("colour", i), ("shape", i)} & known]
    if not fresh:  # a 'no' only where a 'yes' was possible too, or the conversation would show the answer
        return None
    index = _pick(rng, scene, fresh)
    form, yes = rng.choice(("both", "both", "shape", "colour")), rng.random() < 0.5
    colour, shape = _shown_or_not(rng, scene, scene.things[index], form, yes)
    noun = shape or rng.choice(("object", "shape"))
    fact = ("exists", colour, shape)
    tells: set[Fact] = {fact, ("count", colour, shape)}
    if yes:
        tells |= {("colour", index)} if colour else set()
        tells |= {("shape", index)} if shape else set()
    question = phrase(rng, EXISTS_WORDINGS, one=article(f"{colour} {noun}".strip()))
    return Turn("yesno", question, "yes" if yes else "no", frozenset({fact}), frozenset(tells))


def _shown_or_not(rng: Random, scene: Scene, thing: Thing, form: str, shown: bool) -> Pair:
    """(colour, shape), "" where the form does not name it: the thing's own, or one that the scene does not have."""
    if form == "shape":
        return "", thing.shape if shown else rng.choice([s for s in SHAPES if not count(scene, "", s)])
    if form == "colour":
        return thing.colour if shown else rng.choice([c for c in COLOURS if not count(scene, c)]), ""
    if shown:
        return thing.colour, thing.shape
    colours = [thing.colour] if (near := rng.random()) < 0.4 else list(COLOURS)
    shapes = [thing.shape] if near > 0.6 else list(SHAPES)
    return rng.choice([(c, s) for c in colours for s in shapes if not count(scene, c, s)])


def _is_it(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'Is the circle red?'"""
    hide = rng.choice(("colour", "shape"))
    found = _about(rng, scene, known, hide)
    if found is None:
        return None
    index, way = found
    right = getattr(scene.things[index], hide)
    shown = {getattr(thing, hide) for thing in scene.things} - {right}
    every = COLOURS if hide == "colour" else SHAPES
    others = sorted(shown) if shown and rng.random() < 0.5 else [value for value in every if value != right]
    value = right if rng.random() < 0.5 else rng.choice(others)
    question = phrase(rng, ("Is {it} {said}?",), it=way.words, said=value if hide == "colour" else article(value))
    asks = frozenset({(hide, index)})
    return Turn("yesno", question, "yes" if value == right else "no", asks, asks | way.tells)


Asker = Callable[[Random, Scene, Facts], Turn | None]
ASKERS: dict[str, Asker] = {
    "colour": ask_colour, "shape": ask_shape, "count": ask_count, "where": ask_where, "what": ask_what,
    "yesno": ask_yesno, "describe": ask_describe,
}  # fmt: skip

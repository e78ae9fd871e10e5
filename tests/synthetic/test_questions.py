"""Every answer is true of the scene, found again by reading the question alone."""

from __future__ import annotations

import re
from random import Random

import pytest

from pixelword.synthetic.questions import (
    ASKERS,
    Facts,
    Turn,
    article,
    ask_count_of,
    at,
    plural,
    references,
)
from pixelword.synthetic.scenes import CELLS, COLOURS, PAIRS, SHAPES, Scene, Split, Thing, draw_scene

_PLACE = re.compile(r"(?:at|on|in) the (top left|top right|bottom left|bottom right|top|bottom|left|right|centre)")
_SIDES = {"left": {0, 3, 6}, "right": {2, 5, 8}, "top": {0, 1, 2}, "bottom": {6, 7, 8}}


def scene_of(seed: int, split: Split = "train", things: int | None = None) -> tuple[Random, Scene]:
    rng = Random(seed)
    return rng, draw_scene(rng, level=1.0, split=split, allowed=[PAIRS] * (things or rng.randint(1, 5)))


def meant(scene: Scene, words: str) -> list[Thing]:
    """The things that fit the colour, shape and place in the words."""
    colour = next((c for c in COLOURS if re.search(rf"\b{c}\b", words)), None)
    shape = next((s for s in SHAPES if re.search(rf"\b{s}(e?s)?\b", words)), None)
    place = re.search(rf"object {_PLACE.pattern}", words)
    return [
        thing
        for thing in scene.things
        if (not colour or thing.colour == colour)
        and (not shape or thing.shape == shape)
        and (not place or CELLS[thing.cell] == place[1])
    ]


def true_answer(scene: Scene, turn: Turn) -> str:
    question = turn.question.lower()
    if turn.kind in ("count", "count_of"):
        return str(len(meant(scene, question)))
    if turn.kind == "what":
        place = _PLACE.search(question)
        assert place
        cells = _SIDES.get(place[1], set()) | {CELLS.index(place[1])}
        found = [thing for thing in scene.things if thing.cell in cells]
    elif turn.kind == "yesno" and question.startswith(("is the ", "is it ")):
        said = next(v for v in (*COLOURS, *SHAPES) if question.rstrip("?").endswith(v))
        found = meant(scene, question.rstrip("?").removesuffix(said))
        return "yes" if said in (found[0].colour, found[0].shape) and len(found) == 1 else "no"
    elif turn.kind == "yesno":
        return "yes" if meant(scene, question) else "no"
    elif turn.kind == "describe":
        things = sorted(scene.things, key=lambda t: t.cell)
        return ", ".join(f"{article(f'{t.colour} {t.shape}')} {at(t.cell)}" for t in things)
    else:
        found = meant(scene, question)
    assert len(found) == 1, f"{turn.question!r} does not mean one thing of {scene.things}"
    thing = found[0]
    return {
        "colour": thing.colour,
        "shape": thing.shape,
        "where": CELLS[thing.cell],
        "what": article(f"{thing.colour} {thing.shape}"),
    }[turn.kind]


@pytest.mark.parametrize("kind", ASKERS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_are_true(kind: str, split: Split) -> None:
    asked = 0
    for seed in range(400):
        rng, scene = scene_of(seed, split)
        turn = ASKERS[kind](rng, scene, frozenset())
        if turn is not None:
            assert turn.kind == kind
            assert turn.answer == true_answer(scene, turn), (turn, scene.things)
            asked += 1
    assert asked > 300


def test_counts_of_some_things_are_true() -> None:
    for seed in range(200):
        rng, scene = scene_of(seed)
        colour, shape = rng.choice(["", *COLOURS]), rng.choice(["", *SHAPES])
        turn = ask_count_of(rng, scene, colour, shape)
        assert turn.answer == true_answer(scene, turn), (turn, scene.things)


@pytest.mark.parametrize("kind", ["colour", "shape", "where", "what"])
def test_the_test_asks_about_the_held_out_thing_where_it_can(kind: str) -> None:
    for seed in range(50):
        rng, scene = scene_of(seed, "test", things=1)
        turn = ASKERS[kind](rng, scene, frozenset())
        assert turn is not None and any(fact[1] == 0 for fact in turn.asks)


def test_nothing_known_is_asked_again() -> None:
    for seed in range(100):
        rng, scene = scene_of(seed)
        known: Facts = frozenset((fact, i) for fact in ("colour", "shape", "cell") for i in range(len(scene.things)))
        for kind in ("colour", "shape", "where", "what", "yesno"):
            assert ASKERS[kind](rng, scene, known) is None


def test_words_for_a_thing_never_say_what_is_asked() -> None:
    for seed in range(100):
        _, scene = scene_of(seed)
        for index, thing in enumerate(scene.things):
            assert all(thing.colour not in way.words for way in references(scene, index, hide="colour"))
            assert all(thing.shape not in way.words.split() for way in references(scene, index, hide="shape"))
            assert not any(_PLACE.search(way.words) for way in references(scene, index, hide="cell"))


def test_grammar() -> None:
    assert (article("orange ring"), article("red ring")) == ("an orange ring", "a red ring")
    assert (plural("cross"), plural("star")) == ("crosses", "stars")
    assert [at(CELLS.index(name)) for name in ("left", "top left", "centre")] == [
        "on the left",
        "at the top left",
        "in the centre",
    ]

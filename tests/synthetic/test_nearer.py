"""Comparisons: right by the things' own boxes and areas, and only where the difference is clear."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import numpy as np
import pytest

from pixelword.synthetic import nearer
from pixelword.synthetic.comparing import alternatives
from pixelword.synthetic.drawing import outline_mask
from pixelword.synthetic.questions import Turn
from pixelword.synthetic.scenes import HELD_OUT, Scene, Split, Thing


def asked(split: Split, number: int = 400) -> list[tuple[Scene, Turn]]:
    found = []
    for seed in range(number):
        rng, level = Random(seed), (seed % 5) / 4
        form, turn = nearer.choose_form(rng, level), None
        while turn is None:
            scene = nearer.draw_compared(rng, level, split, form.least)
            turn = form.ask(rng, scene)
        found.append((scene, turn))
    return found


def meant(scene: Scene, words: str) -> Thing:
    """The one thing that words like 'the red star', 'a star' or 'the star' mean."""
    (thing,) = (item for item in scene.things if f"{item.colour} {item.shape}".endswith(words.split(" ", 1)[1]))
    return thing


def middle(thing: Thing) -> np.ndarray:
    ys, xs = np.nonzero(np.asarray(outline_mask(thing.shape, thing.size)))
    return np.array([thing.x + (xs.min() + xs.max()) / 2, thing.y + (ys.min() + ys.max()) / 2])


def area(thing: Thing) -> float:
    return float(np.asarray(outline_mask(thing.shape, thing.size), dtype=np.float64).sum() / 255)


def check_either(scene: Scene, question: str, answer: Thing, other: Thing) -> None:
    if size := re.search("larger|bigger|smaller", question):
        large, small = (other, answer) if size[0] == "smaller" else (answer, other)
        assert area(large) >= 1.3 * area(small) and large.size >= 1.3 * small.size
        return
    away = (middle(answer) - middle(other)) / (scene.width, scene.height)
    word = re.search("further left|further right|higher|lower", question)[0]
    axis, sign = {"further left": (0, -1), "further right": (0, 1), "higher": (1, -1), "lower": (1, 1)}[word]
    assert sign * away[axis] >= 0.2


def check_relation(scene: Scene, question: str, answer: str) -> None:
    item, side, other = re.search(
        r"is (the [\w ]+?) (?:to the )?(left of|right of|above|below) (the [\w ]+)", question
    ).groups()
    away = middle(meant(scene, item)) - middle(meant(scene, other.removesuffix(" in the image")))
    axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[side]
    assert answer == ("yes" if sign * away[axis] > 0 else "no")
    assert abs(away[axis]) >= 0.2 * (scene.width, scene.height)[axis]


def check_named(scene: Scene, question: str, answer: Thing) -> None:
    others = [thing for thing in scene.things if thing is not answer]
    if size := re.search("largest|biggest|smallest", question):
        assert others and all((area(other) > area(answer)) == (size[0] == "smallest") for other in others)
        return
    target = re.search(r"(?:nearest|closest) to (the [\w ]+)", question)[1]
    if edge := re.search("left|right|top|bottom", target):
        axis, far = {"left": (0, 0), "right": (0, scene.width), "top": (1, 0), "bottom": (1, scene.height)}[edge[0]]
        assert all(abs(middle(answer)[axis] - far) < abs(middle(other)[axis] - far) for other in others)
        return
    goal = meant(scene, target)
    distances = [np.linalg.norm(middle(other) - middle(goal)) for other in others if other is not goal]
    assert np.linalg.norm(middle(answer) - middle(goal)) < min(distances)


@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_are_right_and_clear(split: Split) -> None:
    forms = Counter()
    for scene, turn in asked(split):
        question = turn.question.lower().rstrip("?")
        if named := alternatives(turn.question):
            other = next(item for item in named if item != turn.answer)
            check_either(scene, question, meant(scene, turn.answer), meant(scene, other))
            forms["either"] += 1
        elif turn.answer in ("yes", "no"):
            check_relation(scene, question, turn.answer)
            forms[turn.answer] += 1
        else:
            check_named(scene, question, meant(scene, turn.answer))
            forms["named"] += 1
    assert min(forms.values()) > 25 and set(forms) == {"either", "yes", "no", "named"}, forms


def test_the_answer_is_as_often_the_one_named_first() -> None:
    places = Counter(
        alternatives(turn.question).index(turn.answer) for _, turn in asked("test") if alternatives(turn.question)
    )
    assert 0.35 < places[0] / places.total() < 0.65


def test_a_test_compares_a_thing_in_its_held_out_cell() -> None:
    for scene, _ in asked("train"):
        assert not any(HELD_OUT[thing.colour, thing.shape] == thing.cell for thing in scene.things)
    for scene, turn in asked("test"):
        focus = scene.things[0]
        assert scene.focus == 0 and HELD_OUT[focus.colour, focus.shape] == focus.cell
        assert focus.shape in turn.question or focus.shape in turn.answer

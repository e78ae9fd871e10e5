"""Words that compare two things of a scene: 'the star or the circle', and which of them an answer may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from pixelword.synthetic.questions import Reference
from pixelword.synthetic.scenes import COLOURS, SHAPES, Thing

YES_NO = ("yes", "no")
_NAMED = rf"the (?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join(SHAPES)})"
_EITHER = re.compile(rf"({_NAMED}) or ({_NAMED})")


def called(rng: Random, things: Sequence[Thing], index: int) -> Reference:
    """'the star' where no other thing has its shape, else, and now and then anyway, 'the red star'."""
    thing = things[index]
    if sum(other.shape == thing.shape for other in things) == 1 and rng.random() < 0.7:
        return Reference(f"the {thing.shape}", frozenset({("shape", index), ("count", "", thing.shape)}))
    known = {("colour", index), ("shape", index), ("count", thing.colour, thing.shape)}
    return Reference(f"the {thing.colour} {thing.shape}", frozenset(known))


def alternatives(question: str) -> tuple[str, ...]:
    """The two answers between which a question lets choose, ('the star', 'the circle'); () where it names none."""
    found = _EITHER.search(question)
    return found.groups() if found else ()

"""Two images of one scene, and what changed from the first to the second.

Held out: in a test, the thing that changes is in its held-out cell (see ``scenes``) in one of the two images; training
shows no held-out combination in either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from pixelword.synthetic.questions import Facts, Turn, at, name_of
from pixelword.synthetic.scenes import (
    CELLS,
    COLOURS,
    HELD_OUT,
    SHAPES,
    Pair,
    Scene,
    Split,
    Thing,
    background_for,
    draw_distinct,
    jitter,
    most_things,
    moved,
)
from pixelword.synthetic.wording import article, phrase

#: The answer where both images are the same.
NOTHING = "nothing"
_WAYS = ("colour", "shape", "place", "presence")
#: Shares: of questions answered by yes or no, and of equal images among those, and among "What changed?".
CLOSED, _SAME, _UNCHANGED = 0.25, 0.5, 0.08
_SIZES = (((64, 64),), ((64, 64), (96, 64), (64, 96), (96, 96)))
_WHAT = (
    "What changed?", "What changed?", "What has changed?", "What is different in the second picture?",
    "What changed from the first picture to the second?", "What is different?", "How do the two images differ?",
    "What changed between the two images?", "How does the second image differ from the first?",
)  # fmt: skip
_EQUAL = ("Are the two pictures the same?", "Are the two images the same?", "Are both images the same?",
         "Do the two pictures show the same?", "Is the second picture the same as the first?")  # fmt: skip
_DIFFERENT = ("Is there a difference between the two pictures?", "Did anything change?", "Has anything changed?",
              "Are the two images different?", "Do the two pictures differ?")  # fmt: skip


@dataclass(frozen=True)
class Change:
    """Two scenes of one size and background. thing: (before, after) of what changed, None where it is not shown.

    Both are None when nothing changed.
    """

    scenes: tuple[Scene, Scene]
    thing: tuple[Thing | None, Thing | None]


def draw_change(rng: Random, level: float, split: Split, *, closed: bool) -> Change:
    """Two scenes of which one thing differs in its colour, its shape, its place, or is in one of them alone.

    closed: for a question of yes or no, for which half of them are equal, not a few.
    """
    size = rng.choice(_SIZES[min(1, int(level * 2))])
    scene = draw_distinct(rng, rng.randint(1, min(4, most_things(level))), level=level, split=split, size=size)
    index = rng.randrange(len(scene.things)) if scene.focus is None else scene.focus
    if rng.random() < (_SAME if closed else _UNCHANGED):
        return Change((scene, scene), (None, None))
    thing, way = scene.things[index], rng.choice(_WAYS)
    other = _altered(rng, scene, thing, way, split)
    things = [*scene.things[:index], *([other] if other else []), *scene.things[index + 1 :]]
    colours = {item.colour for item in (*scene.things, *things)}
    background = background_for(rng, sorted(colours), level)
    scene = replace(scene, background=background)
    changed = replace(scene, things=tuple(things), focus=None)
    # every way works backwards too, so that what is held out is as often what was as what became of it
    if rng.random() < 0.5:
        return Change((changed, scene), (other, thing))
    return Change((scene, changed), (thing, other))


def _altered(rng: Random, scene: Scene, thing: Thing, way: str, split: Split) -> Thing | None:
    """The thing after its change, which no other thing of the scene looks like; None if it is gone."""
    shown = {(item.colour, item.shape) for item in scene.things}

    def fits(pair: Pair, cell: int) -> bool:
        return split == "test" or HELD_OUT[pair] != cell

    if way == "colour":
        pairs = [(colour, thing.shape) for colour in COLOURS]
        colour = rng.choice([pair[0] for pair in pairs if pair not in shown and fits(pair, thing.cell)])
        return replace(thing, colour=colour, rgb=jitter(rng, COLOURS[colour], 4))
    if way == "shape":
        pairs = [(thing.colour, shape) for shape in SHAPES]
        return replace(
            thing, shape=rng.choice([pair[1] for pair in pairs if pair not in shown and fits(pair, thing.cell)])
        )
    if way == "place":
        free = set(range(len(CELLS))) - {item.cell for item in scene.things}
        cells = [cell for cell in sorted(free) if fits((thing.colour, thing.shape), cell)]
        return moved(rng, thing, rng.choice(cells), scene.width, scene.height)
    return None


def difference(before: Thing | None, after: Thing | None) -> str:
    """'the red circle turned blue', '... turned into a star', '... moved to the top', '... disappeared'.

    What appeared is named with its place, 'a red circle appeared at the top'; both None is 'nothing'.
    """
    if before is None:
        return NOTHING if after is None else f"{name_of(after)} appeared {at(after.cell)}"
    it = f"the {before.colour} {before.shape}"
    if after is None:
        return f"{it} disappeared"
    if after.colour != before.colour:
        return f"{it} turned {after.colour}"
    if after.shape != before.shape:
        return f"{it} turned into {article(after.shape)}"
    return f"{it} moved to the {CELLS[after.cell]}"


def ask_changed(rng: Random, change: Change) -> Turn:
    """'What changed?' -> 'the red circle turned blue'."""
    answer = difference(*change.thing)
    asks: Facts = frozenset({("changed",)})
    # what changed may be all that an image shows
    tells: Facts = asks | ({("thing", 0), ("thing", 1)} if answer != NOTHING else set())
    return Turn("changed", phrase(rng, _WHAT), answer, asks, tells)


def ask_same(rng: Random, change: Change) -> Turn:
    """'Are the two images the same?', or 'Did anything change?' -> 'yes'."""
    wordings = rng.choice((_EQUAL, _DIFFERENT))
    yes = (change.thing == (None, None)) == (wordings is _EQUAL)
    fact: Facts = frozenset({("changed",)})
    return Turn("changed", phrase(rng, wordings), "yes" if yes else "no", fact, fact)

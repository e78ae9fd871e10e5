"""Where a thing is, answered with its box in the form of the released models.

Held out: a test asks for the thing in its held-out cell (see ``scenes``).
"""

from __future__ import annotations

from random import Random

from pixelword.processing.boxes import grounded
from pixelword.synthetic.drawing import outline_mask
from pixelword.synthetic.questions import Facts, Turn, references
from pixelword.synthetic.scenes import Scene, Thing
from pixelword.synthetic.wording import phrase

WORDINGS = (
    "Where is {it}? Answer with its box.", "Where is {it}? Answer with a box.", "Where is {it}? Give its box.",
    "Find {it}.", "Find {it}.", "Locate {it}.", "Give the box of {it}.", "Draw a box around {it}.", "Detect {it}.",
)  # fmt: skip


def box_of(thing: Thing) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels around what is drawn of the thing; right and bottom are just outside."""
    left, top, right, bottom = outline_mask(thing.shape, thing.size).getbbox() or (0, 0, thing.size, thing.size)
    return thing.x + left, thing.y + top, thing.x + right, thing.y + bottom


def ask_box(rng: Random, scene: Scene, known: Facts) -> Turn | None:
    """'Find the red circle.' -> '<ref>red circle</ref><box>[[120, 400, 380, 660]]</box>', in thousandths.

    None where no thing can be named by its colour and shape alone.
    """
    ways = {
        index: [way for way in references(scene, index, hide="cell") if way.words.endswith(thing.shape)]
        for index, thing in enumerate(scene.things)
    }
    candidates = [index for index, found in ways.items() if found and ("box", index) not in known]
    if not candidates:
        return None
    index = scene.focus if scene.focus in candidates else rng.choice(candidates)
    way = rng.choice(ways[index])
    answer = grounded(way.words.removeprefix("the "), box_of(scene.things[index]), (scene.width, scene.height))
    fact: Facts = frozenset({("box", index)})
    return Turn("box", phrase(rng, WORDINGS, it=way.words), answer, fact, fact | way.tells | {("cell", index)})

"""Two images, and which of them it is."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pixelword.synthetic.questions import Facts, Turn, name_of
from pixelword.synthetic.questions import count as count_in
from pixelword.synthetic.scenes import PAIRS, SHAPES, Pair, Scene, Split, draw_scene, most_things
from pixelword.synthetic.wording import article, phrase, plural

WHICH = ("the first", "the second")
_MORE = ("Which picture has more {them}?", "Which picture has more {them}?", "Which picture shows more {them}?",
         "In which picture are there more {them}?", "Where are more {them}?")  # fmt: skip
_FEWER = ("Which picture has fewer {them}?", "Which picture shows fewer {them}?",
          "In which picture are there fewer {them}?")  # fmt: skip
_SHOWS = ("Which picture shows {one}?", "Which picture shows {one}?", "Which picture has {one}?",
          "In which picture is {one}?", "Which one shows {one}?")  # fmt: skip
_COUNT = ("How many objects are in {it}?", "How many objects are there in {it}?", "How many objects does {it} show?")
_WHAT = ("What is in {it}?", "What does {it} show?", "What can you see in {it}?")
_SIZES = (((64, 64),), ((64, 64), (96, 64), (64, 96), (96, 96)))


@dataclass(frozen=True)
class ScenePair:
    """Two scenes; more: the shape (or "") of which one has more; shown: what only one of them has."""

    scenes: tuple[Scene, Scene]
    more: str | None = None
    shown: Pair | None = None


def draw_pair(rng: Random, level: float, split: Split) -> ScenePair:
    """Two scenes of equal size that differ in a count, or of which one shows what the other nearly shows."""
    size = rng.choice(_SIZES[min(1, int(level * 2))])
    if rng.random() < 0.5:
        shape = rng.choice(SHAPES) if rng.random() < level * 0.5 else ""
        counts = rng.sample(range(1, max(3, most_things(level) + 1)), 2)
        item, other = (_scene_with(rng, n, shape, level, split, size) for n in counts)
        return ScenePair((item, other), more=shape)
    number = [rng.randint(1, min(4, most_things(level))) for _ in range(2)]
    item = draw_scene(rng, level=level, split=split, allowed=[PAIRS] * number[0], size=size)
    colour, shape = item.things[0].colour, item.things[0].shape
    others = [pair for pair in PAIRS if pair != (colour, shape)]
    near = [pair for pair in others if pair[0] == colour or pair[1] == shape]
    first = near if rng.random() < 0.3 + 0.5 * level else others
    other = draw_scene(rng, level=level, split=split, allowed=[first] + [others] * (number[1] - 1), size=size)
    scenes = (item, other) if rng.random() < 0.5 else (other, item)
    return ScenePair(scenes, shown=(colour, shape))


def _scene_with(rng: Random, number: int, shape: str, level: float, split: Split, size: tuple[int, int]) -> Scene:
    """``number`` things of the shape ("" is any), and where it is one, up to two others."""
    wanted = [pair for pair in PAIRS if shape in ("", pair[1])]
    others = [pair for pair in PAIRS if pair[1] != shape]
    more = rng.randint(0, 2) if shape else 0
    return draw_scene(rng, level=level, split=split, allowed=[wanted] * number + [others] * more, size=size)


def ask_pair(rng: Random, pair: ScenePair) -> Turn:
    """'Which picture has more circles?' or '... shows a red square?' -> 'the first'."""
    if pair.shown is not None:
        colour, shape = pair.shown
        answer = WHICH[0 if count_in(pair.scenes[0], colour, shape) else 1]
        question = phrase(rng, _SHOWS, one=article(f"{colour} {shape}"))
        fact: Facts = frozenset({("shows", colour, shape)})
        return Turn("pair", question, answer, fact, fact)
    shape = pair.more or ""
    counts = [count_in(scene, "", shape) for scene in pair.scenes]
    fewer = rng.random() < 0.25
    them = plural(shape) if shape else "objects"
    answer = WHICH[int((counts[0] < counts[1]) != fewer)]
    asks: Facts = frozenset({("count", 0, shape), ("count", 1, shape)})
    return Turn("pair", phrase(rng, _FEWER if fewer else _MORE, them=them), answer, asks, frozenset({("more", shape)}))


def ask_one_of(rng: Random, pair: ScenePair, which: int | None = None) -> Turn:
    """'How many objects are in the first picture?' -> '3', 'What is in the second picture?' -> 'a red circle'.

    which: 0 or 1, the image that is asked about; either when None.
    """
    which = rng.randrange(2) if which is None else which
    scene, it = pair.scenes[which], f"{WHICH[which]} picture"
    if len(scene.things) == 1 and rng.random() < 0.5:
        thing = scene.things[0]
        fact: Facts = frozenset({("thing", which)})
        shows = ("shows", thing.colour, thing.shape)
        return Turn("what", phrase(rng, _WHAT, it=it), name_of(thing), fact, fact | {("count", which, ""), shows})
    fact = frozenset({("count", which, "")})
    return Turn("count", phrase(rng, _COUNT, it=it), str(len(scene.things)), fact, fact)

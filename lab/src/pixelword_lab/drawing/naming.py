"""Words for a scene of cut-outs: names that mean one thing of it, and words for what it does not show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from pixelword.synthetic.types import Box, Split
from pixelword_lab.drawing.backgrounds import Ground
from pixelword_lab.drawing.compose import Placed, Scene, arrange, canvas
from pixelword_lab.drawing.objects import COLOURS, SHAPES, Cutout, Pool, clash, colour_of, concepts, shape

_TRIES = 60


def draw_things(
    rng: Random,
    pool: Pool,
    split: Split,
    number: int,
    *,
    shapes: float = 0.15,
    fits: Callable[[Cutout], bool] = lambda item: True,
) -> list[Cutout]:
    """Up to `number` things that fit, no two of which could be meant by one word; `shapes`: share of plain shapes."""
    drawn: list[Cutout] = []
    for _ in range(_TRIES):
        if len(drawn) == number:
            break
        # by name first: what is shown by many images is not drawn more often
        item = shape(rng, split) if rng.random() < shapes else rng.choice(pool.by_name[rng.choice(pool.names)])
        if fits(item) and not any(clash(item.name, other.name) for other in drawn):
            drawn.append(item)
    return drawn


def settle(
    rng: Random,
    things: Sequence[Cutout],
    *,
    tokens: tuple[int, int] = (40, 220),
    fill: tuple[float, float] = (0.18, 0.45),
    ground: Ground | None = None,
) -> Scene:
    """The things arranged in an image that has room for them: larger or sparser ones are tried until they fit."""
    low, high = tokens
    while True:
        scene = arrange(rng, things, canvas(rng, tokens=(low, high)), fill=fill, ground=ground)
        if scene is not None:
            return scene
        fill = (max(0.1, fill[0] * 0.85), max(0.12, fill[1] * 0.85))
        low = round(low * 1.1) + 1
        high = max(low, high)


def label(cutout: Cutout) -> str:
    """'dog', 'red circle'."""
    return f"{colour_of(cutout)} {cutout.name}" if cutout.style == "shape" else cutout.name


def whole(placed: Placed, picture: int = 0) -> tuple[int, Box]:
    """A thing's box as questions hold it."""
    x1, y1, x2, y2 = placed.box
    return picture, (float(x1), float(y1), float(x2), float(y2))


def made_of(*scenes: Scene) -> tuple[str, ...]:
    """The assets of scenes, each once, in order."""
    return tuple(dict.fromkeys(thing.cutout.asset for scene in scenes for thing in scene.placed))


def shows(scene: Scene, word: str) -> bool:
    """Whether something in the scene could be meant by the word: a name, another name, a kind, 'red circle'."""
    return any(word == label(thing.cutout) or concepts()[thing.cutout.name].fits(word) for thing in scene.placed)


def absent(rng: Random, scene: Scene, names: Sequence[str]) -> str:
    """A thing that the scene does not show though it might: of the kind of one that it shows, three times in four."""
    seen = rng.choice(scene.placed).cutout if scene.placed else None
    if seen is not None and seen.style == "shape" and (not names or rng.random() < 0.8):
        return _other_shape(rng, scene, seen)
    likes = [name for name in names if seen is not None and concepts()[name].kind == seen.kind]
    for group in ([likes] if likes and rng.random() < 0.75 else []) + [names]:
        for _ in range(_TRIES):
            name = rng.choice(group)
            if not any(clash(name, thing.cutout.name) for thing in scene.placed) and not shows(scene, name):
                return name
    raise RuntimeError(f"every one of {len(names)} names is shown by a scene of {len(scene.placed)}")


def _other_shape(rng: Random, scene: Scene, seen: Cutout) -> str:
    """'blue circle' where there is a red one, or 'red star'."""
    shown = {label(thing.cutout) for thing in scene.placed}
    others = [f"{colour} {seen.name}" for colour in COLOURS] + [f"{colour_of(seen)} {other}" for other in SHAPES]
    return rng.choice([words for words in others if words not in shown])

"""Plots: what happens in a clip. Each takes things and gives the stage on which they act."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from pixelword_lab.drawing.backgrounds import Ground, ground_for
from pixelword_lab.drawing.compose import arrange
from pixelword_lab.drawing.objects import Cutout, rim
from pixelword_lab.families.motion.stage import Actor, Key, Stage, sides, size_of

#: Gives up to that many things with names that cannot be mixed up.
Cast = Callable[[int], Sequence[Cutout]]
_RATES = (1, 2, 2, 4)
MOST_FRAMES = 12
#: Pixels a thing has to travel, and share of the image's side, to count as moving.
_LEAST, _LEAST_SHARE = 18, 0.2


def moves(rng: Random, cast: Cast) -> Stage:
    """One to three things, each in a lane of its own: some go along it, one way, at their own speed; some stay."""
    things = cast(rng.choice((1, 2, 2, 2, 3, 3)))
    count, upright = rng.randint(4, 9), rng.random() < 0.5
    width, height = sides(rng, count)
    along, across = (height, width) if upright else (width, height)
    speeds = _speeds(rng, len(things))
    lane = across / len(things)
    actors = []
    for number, (thing, speed) in enumerate(zip(things, speeds, strict=True)):
        size = size_of(thing, min(lane * 0.85, along * 0.33) * rng.uniform(0.75, 1))
        long, wide = (size[1], size[0]) if upright else size
        room = along - long
        travel = max(speed * room, _LEAST, _LEAST_SHARE * along) if speed else 0.0
        start, middle = rng.uniform(0, room - travel), lane * number + wide / 2 + rng.uniform(0, max(0, lane - wide))
        ends = (start, start + travel) if rng.random() < 0.5 else (start + travel, start)
        places = [(middle, end + long / 2) if upright else (end + long / 2, middle) for end in ends]
        actors.append(Actor(thing, size, (Key(0, *places[0]), Key(count - 1, *places[1]))))
    return _stage(rng, width, height, actors, count)


def diagonal(rng: Random, cast: Cast) -> Stage:
    """One thing that goes towards a corner."""
    (thing,), count = cast(1), rng.randint(4, 8)
    width, height = sides(rng, count)
    size = size_of(thing, min(width, height) * rng.uniform(0.26, 0.4))
    ends = []
    for side, own in ((width, size[0]), (height, size[1])):
        room = side - own
        travel = rng.uniform(0.6, 1.0) * room
        start = rng.uniform(0, room - travel)
        way = (start, start + travel) if rng.random() < 0.5 else (start + travel, start)
        ends.append([place + own / 2 for place in way])
    actor = Actor(thing, size, (Key(0, ends[0][0], ends[1][0]), Key(count - 1, ends[0][1], ends[1][1])))
    return _stage(rng, width, height, [actor], count)


def turns(rng: Random, cast: Cast) -> Stage:
    """A thing that goes to and fro between two edges, 0 to 4 times; maybe another that stays."""
    things, number = cast(rng.choice((1, 1, 2))), rng.randint(0, 4)
    leg = rng.choice([steps for steps in (2, 3, 4, 5) if 3 <= steps * (number + 1) < MOST_FRAMES])
    count, upright = leg * (number + 1) + 1, rng.random() < 0.5
    width, height = sides(rng, count)
    along, across = (height, width) if upright else (width, height)
    lane, first = across / len(things), rng.random() < 0.5
    actors = []
    for place, thing in enumerate(things):
        size = size_of(thing, min(lane * 0.85, along * 0.3))
        long, wide = (size[1], size[0]) if upright else size
        middle = lane * place + rng.uniform(wide / 2, lane - wide / 2)
        ends = (long / 2, along - long / 2) if first else (along - long / 2, long / 2)
        stops = [ends[stop % 2] for stop in range(number + 2)] if place == 0 else [rng.uniform(*sorted(ends))]
        keys = [Key(stop * leg, *((middle, at) if upright else (at, middle))) for stop, at in enumerate(stops)]
        actors.append(Actor(thing, size, tuple(keys)))
    return _stage(rng, width, height, actors, count)


def comings(rng: Random, cast: Cast) -> Stage:
    """Two to four things that are there from the start, or appear, or are gone at some moment; no two at once."""
    things, count = cast(rng.choice((2, 3, 3, 4))), rng.randint(6, 11)
    moments = rng.sample(range(1, count - 1), min(count - 2, rng.randint(len(things), 2 * len(things))))
    shown: list[tuple[float, float]] = []
    for number in range(len(things)):
        start = float(moments.pop()) if moments and (number == 0 or rng.random() < 0.7) else 0.0
        later = [moment for moment in moments if moment > start]
        end = float(count + 1)
        if later and rng.random() < 0.35:
            moments.remove(later[0])
            end = float(later[0])
        shown.append((start, end))
    rng.shuffle(shown)
    return _still(rng, things, count, [(item,) for item in shown])


def blinks(rng: Random, cast: Cast) -> Stage:
    """A thing that is there one to four times; others stay."""
    things, number = cast(rng.choice((1, 2, 2))), rng.randint(1, 4)
    edges = [0.0]
    for _ in range(2 * number):
        edges.append(edges[-1] + rng.choice((1, 1, 2) if number > 2 else (1, 2, 3)))
    start = rng.choice((0, 1))  # hidden at first, or not
    spans = tuple((edges[2 * item] + start, edges[2 * item + 1] + start) for item in range(number))
    count = max(4, min(MOST_FRAMES + 4, int(spans[-1][1]) + rng.choice((0, 1))))
    always = ((0.0, float(count + 1)),)
    return _still(rng, things, count, [spans, *[always] * (len(things) - 1)])


def grows(rng: Random, cast: Cast) -> Stage:
    """One or two things in places of their own, that grow, shrink or stay as they are."""
    things, count = cast(rng.choice((1, 2, 2))), rng.randint(4, 8)
    width, height = sides(rng, count)
    upright = height > width
    along, across = (height, width) if upright else (width, height)
    lane = along / len(things)
    actors = []
    for number, thing in enumerate(things):
        size = size_of(thing, min(lane, across) * rng.uniform(0.7, 0.9))
        low = rng.uniform(0.35, 0.5)
        ends = rng.choice(((low, 1.0), (1.0, low), (low, 1.0), (1.0, low), (0.7, 0.7)))
        place = lane * (number + 0.5), across / 2
        x, y = (place[1], place[0]) if upright else place
        actors.append(Actor(thing, size, (Key(0, x, y, ends[0]), Key(count - 1, x, y, ends[1]))))
    return _stage(rng, width, height, actors, count)


def crossings(rng: Random, cast: Cast) -> Stage:
    """A thing that comes in over one edge, or leaves over one, or both; another stays."""
    things, count = cast(rng.choice((1, 2, 2))), rng.randint(5, 9)
    width, height = sides(rng, count)
    upright = rng.random() < 0.5
    along, across = (height, width) if upright else (width, height)
    lane = across / len(things)
    comes, goes = rng.choice(((True, False), (False, True), (True, True)))
    actors = []
    for number, thing in enumerate(things):
        size = size_of(thing, min(lane * 0.85, along * 0.35))
        long, wide = (size[1], size[0]) if upright else size
        middle = lane * number + rng.uniform(wide / 2, lane - wide / 2)
        inside = rng.uniform(0.4, 0.6) * along
        stops = [-long * 0.6 if comes else inside, along + long * 0.6 if goes else inside]
        if number:
            stops = [rng.uniform(long / 2, along - long / 2)] * 2
        elif rng.random() < 0.5:
            stops = [along - stop for stop in stops]
        places = [(middle, stop) if upright else (stop, middle) for stop in stops]
        actors.append(Actor(thing, size, (Key(0, *places[0]), Key(count - 1, *places[1]))))
    return _stage(rng, width, height, actors, count)


def _speeds(rng: Random, number: int) -> list[float]:
    """Shares of the free way: different ones differ by twice at least; 0 stays."""
    if number == 1:
        return [rng.uniform(0.4, 1.0)]
    speeds = [rng.uniform(0.75, 1.0), rng.choice((0.0, rng.uniform(0.25, 0.36), rng.uniform(0.25, 0.36)))]
    speeds += [0.0] * (number - 2)
    rng.shuffle(speeds)
    return speeds


def _still(
    rng: Random, things: Sequence[Cutout], count: int, shown: Sequence[tuple[tuple[float, float], ...]]
) -> Stage:
    """Things that stand apart from each other, each there while it is shown."""
    while True:
        width, height = sides(rng, count, tokens=240)
        scene = arrange(rng, things, (width, height), fill=(0.2, 0.4), turn=0)
        if scene is not None:
            break
        things, shown = things[:-1], shown[:-1]
    actors = []
    for item, spans in zip(scene.placed, shown, strict=True):
        x1, y1, x2, y2 = item.box
        actors.append(Actor(item.cutout, (x2 - x1, y2 - y1), (Key(0, (x1 + x2) / 2, (y1 + y2) / 2),), tuple(spans)))
    return _stage(rng, width, height, actors, count, scene.ground)


def _stage(
    rng: Random, width: int, height: int, actors: Sequence[Actor], count: int, ground: Ground | None = None
) -> Stage:
    if ground is None:
        ground = ground_for(rng, [rim(actor.cutout) for actor in actors])
    rate = rng.choice(_RATES)
    return Stage(width, height, ground, tuple(actors), count, rate, max(1, rng.choice((4, 6, 8)) // rate))


#: Name of a plot -> how often it is drawn, and the plot.
PLOTS: dict[str, tuple[int, Callable[[Random, Cast], Stage]]] = {
    "moves": (8, moves), "diagonal": (2, diagonal), "turns": (3, turns), "comings": (6, comings),
    "blinks": (3, blinks), "grows": (2, grows), "crossings": (3, crossings),
}  # fmt: skip

"""Questions about a clip, answered from what its sampled frames show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from pixelword.processing.videos import clock
from pixelword.synthetic.types import Box, Question
from pixelword.synthetic.wording import article, phrase
from pixelword_lab.candidates import Candidate
from pixelword_lab.families.motion.stage import Stage

WAYS = ("left", "right", "up", "down")
CORNERS = ("top left", "top right", "bottom left", "bottom right")
SIDES = ("left", "right", "top", "bottom")
#: Kind of question -> category of the suite.
KINDS = {
    "direction": "video", "corner": "video", "moves": "video", "what": "video", "speed": "video", "turns": "video",
    "order": "video", "when": "video", "then": "video", "gone": "video", "count": "video", "blinks": "video",
    "size": "video", "side": "video", "where": "video", "exists": "hallucination",
}  # fmt: skip
#: A thing in another plot than the one that moves, and names of things that are not in the clip.
Strangers = Sequence[str]
_DIRECTION = ("Which way does {it} move?", "Which way does {it} go?", "In which direction does {it} move?",
              "Where is {it} moving?", "Which way is {it} moving?",
              "Is {it} moving left, right, up or down?")  # fmt: skip
_CORNER = ("Towards which corner does {it} move?", "Which corner is {it} moving to?", "To which corner does {it} go?")
_MOVES = ("Does {it} move?", "Is {it} moving?", "Does {it} change its place?")
_WHAT_MOVES = ("What moves?", "What is moving?", "Which thing moves?", "Name the thing that moves.")
_WHAT_STAYS = ("What does not move?", "What stays where it is?", "Which thing stays still?")
_FASTER = ("Which is faster, {one} or {other}?", "What moves faster, {one} or {other}?",
           "{one} or {other}: which is faster?")  # fmt: skip
_SLOWER = ("Which is slower, {one} or {other}?", "What moves more slowly, {one} or {other}?")
_TURNS = ("How many times does {it} turn around?", "How many times does {it} change direction?",
          "How often does {it} turn back?")  # fmt: skip
_FIRST = ("Which appears first, {one} or {other}?", "What comes first, {one} or {other}?",
          "Does {one} or {other} appear first?")  # fmt: skip
_WHICH_LAST = ("What appears last?", "What is the last thing to appear?", "Which thing comes last?")
_WHEN = ("When does {it} appear?", "At what time does {it} appear?", "When does {it} first show up?")
_WHEN_GONE = ("When is {it} gone?", "At what time has {it} disappeared?", "When does {it} disappear?")
_THEN = ("Is {it} there at {time}?", "Can you see {it} at {time}?", "At {time}, is {it} in the picture?")
_GONE = ("What disappears?", "Which thing disappears?", "What is gone at the end?")
_COUNT = ("How many things are there at {time}?", "How many things can you see at {time}?",
          "Count the things at {time}.")  # fmt: skip
_IN_ALL = ("How many different things appear in the video?", "How many different things does the video show?")
_BLINKS = ("How many times is {it} shown?", "How many times does {it} show up?", "How often can {it} be seen?")
_SIZE = ("Does {it} get bigger or smaller?", "Does {it} grow or shrink?", "How does the size of {it} change?")
_COMES = ("From which side does {it} come in?", "Where does {it} enter the picture?",
          "On which side does {it} come into view?")  # fmt: skip
_LEAVES = ("On which side does {it} leave the picture?", "Where does {it} go out of the picture?",
           "Over which side does {it} leave?")  # fmt: skip
_WHERE = ("Where is {it} {then}?", "In which part of the picture is {it} {then}?", "{then}, where is {it}?")
_EXISTS = ("Is there {one} in the video?", "Does the video show {one}?", "Can you see {one}?", "Is there {one}?")


def candidates(rng: Random, stage: Stage, plot: str, strangers: Strangers) -> list[Candidate]:
    """Everything that can be asked of a clip; strangers: names of things it does not show."""
    found = list(_PLOTS[plot](rng, stage))
    # a kind that every clip could be asked would be asked of nearly all of them
    if len(found) < 3 or rng.random() < 0.3:
        found += _exists(rng, stage, strangers)
    return found


def way(first: Box, last: Box) -> tuple[float, float]:
    """Pixels to the right and downwards that a thing's middle went."""
    return (last[0] + last[2] - first[0] - first[2]) / 2, (last[1] + last[3] - first[1] - first[3]) / 2


def label(stage: Stage, step: int) -> str:
    """A frame's time as it stands before the frame: '00:01.50'."""
    return clock(stage.time(step), decimals=True)


def _the(stage: Stage, number: int) -> str:
    return f"the {stage.actors[number].name}"


def _it(rng: Random, stage: Stage, number: int) -> str:
    """Words for a thing; 'it' where it is alone."""
    return rng.choice(("it", _the(stage, number))) if len(stage.actors) == 1 else _the(stage, number)


def _names(number: int) -> set[tuple[str, int]]:
    return {("exists", number)}


def _ends(stage: Stage, number: int) -> tuple[tuple[int, Box], ...]:
    """The first and the last sight of a thing."""
    seen = [(step, box) for step, box in enumerate(stage.seen[number]) if box is not None]
    return (seen[0], seen[-1])


def _directions(stage: Stage) -> list[str | None]:
    """Of each thing the way it goes; None where it stays."""
    found: list[str | None] = []
    for number in range(len(stage.actors)):
        (_, first), (_, last) = _ends(stage, number)
        right, down = way(first, last)
        if max(abs(right), abs(down)) < 4:
            found.append(None)
        elif abs(right) > abs(down):
            found.append("right" if right > 0 else "left")
        else:
            found.append("down" if down > 0 else "up")
    return found


def _moves(rng: Random, stage: Stage) -> Iterator[Candidate]:
    ways = _directions(stage)
    moving = [number for number, item in enumerate(ways) if item]
    still = [number for number, item in enumerate(ways) if not item]
    for number in moving:
        question = phrase(rng, _DIRECTION, it=_it(rng, stage, number))
        yield Candidate(
            Question("direction", question, str(ways[number]), choices=WAYS, boxes=_ends(stage, number)),
            frozenset({("way", number)}), frozenset({("moves", number), *_names(number)}),
        )  # fmt: skip
    everyone = frozenset(("moves", number) for number in range(len(stage.actors)))
    if moving and still:
        number = rng.choice(rng.choice((moving, still)))
        item = Question("moves", phrase(rng, _MOVES, it=_the(stage, number)), "yes" if ways[number] else "no",
                            choices=("yes", "no"), boxes=_ends(stage, number))  # fmt: skip
        yield Candidate(item, frozenset({("moves", number)}), frozenset(_names(number)))
    for group, wordings in ((moving, _WHAT_MOVES), (still, _WHAT_STAYS)):
        if len(group) == 1:
            item = Question("what", phrase(rng, wordings), _the(stage, group[0]).removeprefix("the "),
                                boxes=_ends(stage, group[0]))  # fmt: skip
            yield Candidate(item, everyone | _names(group[0]), everyone)
    if len(moving) == 2:
        lengths = [sum(abs(part) for part in way(*(box for _, box in _ends(stage, number)))) for number in moving]
        slow, fast = sorted(moving, key=lambda number: lengths[moving.index(number)])
        if max(lengths) >= 1.7 * min(lengths):
            for right in (fast, slow):
                first, second = rng.sample(moving, 2)
                names = _the(stage, first), _the(stage, second)
                words = phrase(rng, _FASTER if right == fast else _SLOWER, one=names[0], other=names[1])
                item = Question("speed", words, _the(stage, right),
                                    choices=names, boxes=(*_ends(stage, fast), *_ends(stage, slow)))  # fmt: skip
                tells = frozenset({("moves", first), ("moves", second), *_names(first), *_names(second)})
                yield Candidate(item, frozenset({("speed",)}), tells)
    yield from _where(rng, stage)


def _diagonal(rng: Random, stage: Stage) -> Iterator[Candidate]:
    right, down = way(*(box for _, box in _ends(stage, 0)))
    corner = f"{'bottom' if down > 0 else 'top'} {'right' if right > 0 else 'left'}"
    question = phrase(rng, _CORNER, it=_it(rng, stage, 0))
    yield Candidate(Question("corner", question, corner, choices=CORNERS, boxes=_ends(stage, 0)),
                    frozenset({("where", 0)}), frozenset({("way", 0), *_names(0)}))  # fmt: skip
    yield from _where(rng, stage)
    yield _what_it_is(rng, stage)


def _what_it_is(rng: Random, stage: Stage) -> Candidate:
    question = phrase(rng, _WHAT_MOVES)
    return Candidate(Question("what", question, stage.actors[0].name, boxes=_ends(stage, 0)), frozenset(_names(0)))


def _turns(rng: Random, stage: Stage) -> Iterator[Candidate]:
    number = len(stage.actors[0].keys) - 2
    boxes = tuple((step, box) for step, box in enumerate(stage.seen[0]) if box is not None)
    question = phrase(rng, _TURNS, it=_the(stage, 0) if len(stage.actors) > 1 else _it(rng, stage, 0))
    yield Candidate(
        Question("turns", question, str(number), "number", ("0", "1", "2", "3", "4"), absent=not number, boxes=boxes),
        frozenset({("turns", 0)}), frozenset(_names(0)),
    )  # fmt: skip
    yield _what_it_is(rng, stage)
    if number == 0:
        yield Candidate(
            Question("direction", phrase(rng, _DIRECTION, it=_it(rng, stage, 0)), str(_directions(stage)[0]),
                     choices=WAYS, boxes=_ends(stage, 0)),
            frozenset({("turns", 0)}), frozenset(_names(0)),
        )  # fmt: skip


def _comings(rng: Random, stage: Stage) -> Iterator[Candidate]:
    here = [[box is not None for box in seen] for seen in stage.seen]
    starts = {number: mine.index(True) for number, mine in enumerate(here) if not mine[0] and any(mine)}
    ends = {number: len(mine) - mine[::-1].index(True) for number, mine in enumerate(here) if any(mine)}
    ends = {number: step for number, step in ends.items() if step < stage.count}
    for moments, wordings, fact in ((starts, _WHEN, "from"), (ends, _WHEN_GONE, "until")):
        for number, step in moments.items():
            shown = step if fact == "from" else step - 1
            box = stage.seen[number][shown]
            question = phrase(rng, wordings, it=_the(stage, number))
            yield Candidate(
                Question("when", question, label(stage, step), boxes=((shown, box),) if box else ()),
                frozenset({(fact, number)}), frozenset({("shown", number), *_names(number)}),
            )  # fmt: skip
    if len(starts) >= 2:
        item, other = rng.sample(sorted(starts), 2)
        right = min(item, other, key=lambda number: starts[number])
        question = phrase(rng, _FIRST, one=_the(stage, item), other=_the(stage, other))
        yield Candidate(
            Question("order", question, _the(stage, right), choices=(_the(stage, item), _the(stage, other)),
                     boxes=(_ends(stage, item)[0], _ends(stage, other)[0])),
            frozenset({("from", item), ("from", other)}), frozenset(_names(item) | _names(other)),
        )  # fmt: skip
        last = max(starts, key=lambda number: starts[number])
        asked = frozenset(("from", number) for number in starts)
        question = phrase(rng, _WHICH_LAST)
        yield Candidate(Question("order", question, stage.actors[last].name, boxes=(_ends(stage, last)[0],)),
                        asked, frozenset(_names(last)))  # fmt: skip
    if len(ends) <= 1:
        name = stage.actors[next(iter(ends))].name if ends else "nothing"
        boxes = (_ends(stage, next(iter(ends)))[1],) if ends else ()
        asked = frozenset(("until", number) for number in range(len(here)))
        question = phrase(rng, _GONE[:2])
        yield Candidate(Question("gone", question, name, absent=not ends, boxes=boxes), asked,
                        frozenset(("exists", number) for number in ends))  # fmt: skip
    yield from _at_moments(rng, stage, here)


def _at_moments(rng: Random, stage: Stage, here: list[list[bool]]) -> Iterator[Candidate]:
    """What is there at a moment, how many things are, and how many there are in all."""
    for number, mine in enumerate(here):
        if not (any(mine) and not all(mine)):
            continue
        wanted = rng.random() < 0.5
        step = rng.choice([step for step, there in enumerate(mine) if there is wanted])
        box = stage.seen[number][step]
        question = phrase(rng, _THEN, it=_the(stage, number), time=label(stage, step))
        yield Candidate(
            Question("then", question, "yes" if wanted else "no", choices=("yes", "no"), absent=not wanted,
                     boxes=((step, box),) if box else ()),
            frozenset({("from", number), ("until", number), ("shown", number)}), frozenset(_names(number)),
        )  # fmt: skip
    step = rng.randrange(stage.count)
    boxes = tuple((step, seen[step]) for seen in stage.seen if seen[step] is not None)
    shown = frozenset((fact, number) for number in range(len(here)) for fact in ("from", "until"))
    question = phrase(rng, _COUNT, time=label(stage, step))
    yield Candidate(Question("count", question, str(len(boxes)), "number", absent=not boxes, boxes=boxes),  # type: ignore[arg-type]
                    frozenset({("count", step)}), shown)  # fmt: skip
    firsts = tuple(_ends(stage, number)[0] for number in range(len(here)) if any(here[number]))
    yield Candidate(Question("count", phrase(rng, _IN_ALL), str(len(firsts)), "number", boxes=firsts),
                    frozenset({("count", "all")}), frozenset({("count", "all")}))  # fmt: skip


def _blinks(rng: Random, stage: Stage) -> Iterator[Candidate]:
    seen = [box is not None for box in stage.seen[0]]
    number = sum(now and not before for before, now in zip([False, *seen], seen, strict=False))
    boxes = tuple((step, box) for step, box in enumerate(stage.seen[0]) if box is not None)
    yield Candidate(
        Question("blinks", phrase(rng, _BLINKS, it=_the(stage, 0)), str(number), "number", ("1", "2", "3", "4"),
                 boxes=boxes),
        frozenset({("shown", 0)}), frozenset(_names(0)),
    )  # fmt: skip
    yield from (moment for moment in _at_moments(rng, stage, [[box is not None for box in mine] for mine in stage.seen])
                if moment.question.kind != "count")  # fmt: skip


def _grows(rng: Random, stage: Stage) -> Iterator[Candidate]:
    for number in range(len(stage.actors)):
        (_, first), (_, last) = _ends(stage, number)
        before, after = first[2] - first[0] + first[3] - first[1], last[2] - last[0] + last[3] - last[1]
        answer = "bigger" if after > 1.4 * before else "smaller" if before > 1.4 * after else "neither"
        wordings = _SIZE[2:] if answer == "neither" else _SIZE
        if answer == "neither":
            answer = "it stays the same"
        question = phrase(rng, wordings, it=_it(rng, stage, number))
        if "How" in question or "how" in question:
            answer = {"bigger": "it gets bigger", "smaller": "it gets smaller"}.get(answer, answer)
        elif "grow" in question:
            answer = {"bigger": "it grows", "smaller": "it shrinks"}[answer]
        yield Candidate(Question("size", question, answer, boxes=_ends(stage, number)),
                        frozenset({("size", number)}), frozenset(_names(number)))  # fmt: skip


def _crossings(rng: Random, stage: Stage) -> Iterator[Candidate]:
    seen = stage.seen[0]
    steps = [step for step, box in enumerate(seen) if box is not None]
    asked = frozenset({("side", 0)})
    for outside, inside, wordings in ((0, steps[0], _COMES), (stage.count - 1, steps[-1], _LEAVES)):
        if seen[outside] is not None:
            continue
        whole, box = stage.actors[0].box(outside), seen[inside]
        assert whole is not None
        side = ("left" if whole[2] <= stage.width * 0.2 else "right" if whole[0] >= stage.width * 0.8
                else "top" if whole[3] <= stage.height * 0.2 else "bottom")  # fmt: skip
        question = phrase(rng, wordings, it=_it(rng, stage, 0))
        yield Candidate(Question("side", question, side, choices=SIDES, boxes=((inside, box),) if box else ()),
                        asked, frozenset({("moves", 0), *_names(0)}))  # fmt: skip
    question = phrase(rng, ("What moves?", "What is moving?"))
    yield Candidate(Question("what", question, stage.actors[0].name, boxes=((steps[0], seen[steps[0]]),)),  # type: ignore[arg-type]
                    frozenset({("moves", 0), *_names(0)}))  # fmt: skip


def _where(rng: Random, stage: Stage) -> Iterator[Candidate]:
    """In which third of the image a thing starts or ends, along the way that it goes."""
    ways = _directions(stage)
    for number, box_way in enumerate(ways):
        start = rng.random() < 0.5
        step, box = _ends(stage, number)[0 if start else 1]
        upright = box_way in ("up", "down")
        side, low, high = (stage.height, box[1], box[3]) if upright else (stage.width, box[0], box[2])
        middle = (low + high) / 2 / side
        place = 0 if middle < 0.3 else 2 if middle > 0.7 else 1 if 0.42 < middle < 0.58 else None
        if place is None:
            continue
        answer = ("top", "middle", "bottom")[place] if upright else ("left", "middle", "right")[place]
        then = rng.choice(("at the start", "in the first frame") if start else ("at the end", "in the last frame"))
        question = phrase(rng, _WHERE, it=_the(stage, number), then=then)
        question = question if question[0] != then[0] or rng.random() < 0.3 else question[0].upper() + question[1:]
        # where it is at one end nearly tells the way that it goes
        yield Candidate(Question("where", question, answer, boxes=((step, box),)),
                        frozenset({("way", number), ("where", number)}), frozenset(_names(number)))  # fmt: skip


def _exists(rng: Random, stage: Stage, strangers: Strangers) -> Iterator[Candidate]:
    shown = [number for number, seen in enumerate(stage.seen) if any(seen)]
    if strangers and rng.random() < 0.5:
        question = phrase(rng, _EXISTS, one=article(rng.choice(strangers)))
        yield Candidate(Question("exists", question, "no", choices=("yes", "no"), absent=True))
    else:
        number = rng.choice(shown)
        question = phrase(rng, _EXISTS, one=article(stage.actors[number].name))
        yield Candidate(
            Question("exists", question, "yes", choices=("yes", "no"), boxes=(_ends(stage, number)[0],)),
            frozenset(_names(number)), frozenset(_names(number)),
        )  # fmt: skip


_PLOTS: dict[str, Callable[[Random, Stage], Iterator[Candidate]]] = {
    "moves": _moves, "diagonal": _diagonal, "turns": _turns, "comings": _comings, "blinks": _blinks,
    "grows": _grows, "crossings": _crossings,
}  # fmt: skip

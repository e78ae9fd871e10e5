"""Two or three images: the same or not, what changed, which has more, which shows it, which one is turned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Box, Question, Split
from pixelword.synthetic.wording import article, phrase, plural
from pixelword_lab.candidates import Candidate, choose
from pixelword_lab.drawing.backgrounds import worn
from pixelword_lab.drawing.compose import Placed, Scene, overlap, place_at, render, shown
from pixelword_lab.drawing.naming import absent, draw_things, label, made_of, settle, shows, whole
from pixelword_lab.drawing.objects import STYLES, Cutout, Pool, clash, colour_of, cutouts, shape
from pixelword_lab.family import Family, Task

KINDS = dict.fromkeys(
    ("same", "changed", "added", "removed", "moved", "way", "recoloured", "more", "count", "shows", "common", "turned",
     "odd", "what"),
    "multi-image",
)  # fmt: skip
ORDINALS = ("the first", "the second", "the third")
WAYS = ("left", "right", "up", "down")

_SAME = ("Are the two pictures the same?", "Are these two pictures equal?", "Do both pictures show exactly the same?",
         "Is the second picture the same as the first?")  # fmt: skip
_CHANGED = ("What changed?", "What changed from the first picture to the second?", "What is different?",
            "What is the difference between the pictures?", "What is different in the second picture?")  # fmt: skip
_ADDED = ("What was added?", "What is new in the second picture?", "Which thing was added in the second picture?",
          "What is only in the second picture?")  # fmt: skip
_REMOVED = ("What was removed?", "What is missing in the second picture?", "What is gone in the second picture?",
            "What is only in the first picture?")  # fmt: skip
_MOVED = (
    "What moved?",
    "Which thing moved?",
    "What was moved?",
    "Which thing is somewhere else in the second picture?",
)
_WAY = ("Which way did the {it} move?", "Where did the {it} go: left, right, up or down?",
        "In which direction did the {it} move?")  # fmt: skip
_RECOLOURED = ("What colour is the {it} in the second picture?", "Which colour did the {it} become?",
               "What is the new colour of the {it}?")  # fmt: skip
_MORE = ("Which picture has more {them}?", "Which picture has more {them}?", "Which picture shows more {them}?",
         "In which picture are there more {them}?", "Where are more {them}?")  # fmt: skip
_FEWER = ("Which picture has fewer {them}?", "Which picture shows fewer {them}?",
          "In which picture are there fewer {them}?")  # fmt: skip
_COUNT = ("How many {them} are in {nth} picture?", "How many {them} does {nth} picture show?",
          "How many {them} can you see in {nth} picture?")  # fmt: skip
_SHOWS = ("Which picture shows {one}?", "Which picture has {one}?", "In which picture is {one}?",
          "Where can you see {one}?", "Which one shows {one}?")  # fmt: skip
_COMMON = (
    "What is in both pictures?",
    "Which thing do both pictures show?",
    "What do the two pictures have in common?",
)
_WHAT = ("What is in {nth} picture?", "What does {nth} picture show?", "What can you see in {nth} picture?")
_TURNED = ("Which picture is turned?", "In which picture is the {it} turned?", "Which {it} is rotated?",
           "Which of the pictures shows the {it} the wrong way up?")  # fmt: skip
_ODD = ("Which picture shows something else?", "Which picture is different from the others?",
        "Which one does not belong?", "Which picture is the odd one out?")  # fmt: skip


#: Scenes, what is asked of them for sure and first, and what else could be.
_Made = tuple[list[Scene], list[Candidate], list[Candidate]]


@dataclass(frozen=True)
class _Change:
    """What differs between two scenes of the same things. kind: "same" or a question's; thing: before or after."""

    kind: str
    before: Scene
    after: Scene
    thing: Placed | None = None
    way: str = ""

    @property
    def boxes(self) -> tuple[tuple[int, Box], ...]:
        """Where one sees it."""
        return () if self.thing is None else (whole(self.thing, 0 if self.kind == "removed" else 1),)


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """Before and after, two unlike scenes, or three images of one thing each."""
    pool = cutouts(assets, split)
    names = cutouts(assets, "train").names
    make = rng.choices((_before_and_after, _two_scenes, _three), (45, 35, 20))[0]
    scenes, sure, candidates = make(rng, pool, split, names)
    known = frozenset(fact for item in sure for fact in item.asks | item.tells)
    rest = [candidate for candidate in candidates if not candidate.asks & known]
    questions = (*(item.question for item in sure), *choose(rng, rest, rng.randint(2, 4) - len(sure)))
    # images of one file format: what is the same stays so to the pixel
    wear = rng.getrandbits(64)
    media = tuple({"type": "image", "image": worn(Random(wear), render(scene))} for scene in scenes)
    return Task(media, questions, made_of(*scenes))


def _before_and_after(rng: Random, pool: Pool, split: Split, names: Sequence[str]) -> _Made:
    while True:
        change = _changed(rng, pool, split)
        if change is not None:
            break
    scenes = [change.before, change.after]
    found = [*_what_changed(rng, change), *_shows(rng, scenes, names, given={("change",), ("same",)})]
    found += _counts(rng, scenes, "things", given={("change",)})
    # two scenes in seven are the same: asked of them 2.5 times as often, "yes" is as often right as "no"
    sure = [_same(rng, change)] if rng.random() < (0.6 if change.kind == "same" else 0.24) else []
    return scenes, sure, found


def _same(rng: Random, change: _Change) -> Candidate:
    same = frozenset({("same",)})
    answer = "yes" if change.kind == "same" else "no"
    return Candidate(Question("same", phrase(rng, _SAME), answer, choices=("yes", "no"), boxes=change.boxes), same)


def _changed(rng: Random, pool: Pool, split: Split) -> _Change | None:
    """A scene and the same with one change; None where that change cannot be made in it."""
    kind = rng.choice(("same", "same", "added", "removed", "moved", "moved", "recoloured"))
    shapes = 0.2
    things = draw_things(rng, pool, split, rng.randint(2, 5), shapes=shapes)
    if kind == "recoloured":
        things[rng.randrange(len(things))] = shape(rng, split)
        if any(clash(a.name, b.name) for a in things for b in things if a is not b):
            return None
    scene = settle(rng, things, tokens=(40, 110), fill=(0.14, 0.34))
    place = rng.randrange(len(scene.placed))
    item = scene.placed[place]
    rest = scene.placed[:place] + scene.placed[place + 1 :]
    if kind == "same":
        return _Change(kind, scene, scene)
    if kind in ("added", "removed"):
        without = replace(scene, placed=rest)
        return _Change(kind, without, scene, item) if kind == "added" else _Change(kind, scene, without, item)
    if kind == "recoloured":
        place = next(number for number, each in enumerate(scene.placed) if each.cutout.style == "shape")
        item = scene.placed[place]
        other = _other_colour(rng, split, item)
        if other is None:
            return None
        after = replace(scene, placed=(*scene.placed[:place], other, *scene.placed[place + 1 :]))
        return _Change(kind, scene, after, other)
    return _moved(rng, scene, place)


def _moved(rng: Random, scene: Scene, place: int) -> _Change | None:
    """The thing a quarter of the image or more away, straight enough for one way to be right."""
    item = scene.placed[place]
    rest = scene.placed[:place] + scene.placed[place + 1 :]
    room = scene.width - (item.box[2] - item.box[0]), scene.height - (item.box[3] - item.box[1])
    for _ in range(20):
        moved = item.at(rng.randint(0, room[0]), rng.randint(0, room[1]))
        across, down = moved.box[0] - item.box[0], moved.box[1] - item.box[1]
        far = max(abs(across) / scene.width, abs(down) / scene.height) > 0.25
        straight = max(abs(across), abs(down)) > 2.5 * min(abs(across), abs(down))
        if far and straight and not any(overlap(moved.box, other.box) for other in rest):
            way = ("right" if across > 0 else "left") if abs(across) > abs(down) else ("down" if down > 0 else "up")
            after = replace(scene, placed=(*scene.placed[:place], moved, *scene.placed[place + 1 :]))
            return _Change("moved", scene, after, moved, way)
    return None


def _other_colour(rng: Random, split: Split, placed: Placed) -> Placed | None:
    """The shape in another colour that this split may show."""
    for _ in range(20):
        other = shape(rng, split, shape=placed.cutout.name)
        if colour_of(other) != colour_of(placed.cutout):
            return replace(placed, cutout=other)
    return None


def _noun(placed: Placed) -> str:
    """A thing by what it is and not by its colour, which may be what changed."""
    return placed.cutout.name


def _what_changed(rng: Random, change: _Change) -> Iterator[Candidate]:
    change_facts = frozenset({("same",), ("change",)})
    boxes = change.boxes
    if change.thing is None:
        yield Candidate(Question("changed", phrase(rng, _CHANGED), "nothing", absent=True), change_facts, change_facts)
        return
    noun, item = _noun(change.thing), label(change.thing.cutout)
    tells = change_facts | {("shows", item), ("count", "things")}
    answers = {
        "added": f"{article(item)} was added",
        "removed": f"the {item} was removed",
        "moved": f"the {item} moved {change.way}",
        "recoloured": f"the {noun} turned {colour_of(change.thing.cutout)}",
    }
    question = Question("changed", phrase(rng, _CHANGED), answers[change.kind], boxes=boxes)
    yield Candidate(question, change_facts | {("way",)}, tells | {("way",), ("more",)})
    wordings = {"added": _ADDED, "removed": _REMOVED, "moved": _MOVED, "recoloured": _RECOLOURED}[change.kind]
    answer = str(colour_of(change.thing.cutout)) if change.kind == "recoloured" else item
    question = Question(change.kind, phrase(rng, wordings, it=noun), answer, boxes=boxes)
    yield Candidate(question, frozenset({("change",)}), tells | {("more",)})
    if change.kind == "moved":
        way = Question("way", phrase(rng, _WAY, it=item), change.way, choices=WAYS, boxes=boxes)
        yield Candidate(way, frozenset({("way",)}), tells | {("way",)})


def _two_scenes(rng: Random, pool: Pool, split: Split, names: Sequence[str]) -> _Made:
    """One kind of thing in both, in unlike number, and others in one of them."""
    while True:
        [shared] = draw_things(rng, pool, split, 1, shapes=0.3)
        if plural(label(shared)) != label(shared):  # bacon is not counted
            break
    others = [thing for thing in draw_things(rng, pool, split, 5, shapes=0.1) if not clash(thing.name, shared.name)]
    counts = rng.sample(range(0, 6), 2) if rng.random() < 0.7 else [1, 1]
    scenes = []
    for number, extra in zip(counts, (others[:2], others[2:]), strict=True):
        extra = extra[: rng.randint(0 if number else 1, 2)]
        things = [shared] * number + extra
        scenes.append(settle(rng, things, tokens=(36, 100), fill=(0.18, 0.4)))
    common = label(shared)
    found = [*_shows(rng, scenes, names), *_counts(rng, scenes, common), *_counts(rng, scenes, "things")]
    if min(counts) > 0:
        fact = frozenset({("shows", common)})
        boxes = tuple(
            whole(thing, n) for n, scene in enumerate(scenes) for thing in scene.placed if thing.cutout is shared
        )
        found.append(Candidate(Question("common", phrase(rng, _COMMON), common, boxes=boxes), fact, fact))
    return scenes, [], found


def _shown(scene: Scene, what: str) -> list[Placed]:
    """The things of that label; all for "things"."""
    return [thing for thing in scene.placed if what in ("things", label(thing.cutout))]


def _counts(
    rng: Random,
    scenes: Sequence[Scene],
    what: str,
    given: frozenset[tuple[str, ...]] | set[tuple[str, ...]] = frozenset(),
) -> Iterator[Candidate]:
    """Which has more, and how many."""
    counts = [len(_shown(scene, what)) for scene in scenes]
    them = "things" if what == "things" else plural(what)
    boxes = tuple(whole(item, number) for number, scene in enumerate(scenes) for item in _shown(scene, what))
    known = frozenset({("shows", what)}) | given
    if counts[0] != counts[1]:
        fewer = rng.random() < 0.3
        answer = ORDINALS[int((counts[1] > counts[0]) != fewer)]
        words = phrase(rng, _FEWER if fewer else _MORE, them=them)
        question = Question("more", words, answer, choices=ORDINALS[:2], boxes=boxes)
        asks = frozenset({("count", what), ("more",)})
        yield Candidate(question, asks, asks | known)
    number = rng.randrange(len(scenes))
    words = phrase(rng, _COUNT, them=them, nth=ORDINALS[number])
    own = tuple(box for box in boxes if box[0] == number)
    answer = str(counts[number])
    question = Question("count", words, answer, absent=answer == "0", boxes=own)
    fact = frozenset({("count", what)})
    yield Candidate(question, fact, fact | known)


def _shows(
    rng: Random,
    scenes: Sequence[Scene],
    names: Sequence[str],
    given: set[tuple[str, ...]] | frozenset[tuple[str, ...]] = frozenset(),
) -> Iterator[Candidate]:
    """Which image shows a thing: one of them, both, or neither."""
    labels = list(dict.fromkeys(label(thing.cutout) for scene in scenes for thing in scene.placed))
    both = Scene(
        scenes[0].width, scenes[0].height, scenes[0].ground, tuple(thing for s in scenes for thing in s.placed)
    )
    words: dict[str, list[str]] = {}
    for word in labels:
        where = [shows(scene, word) for scene in scenes]
        words.setdefault("both" if all(where) else ORDINALS[where.index(True)], []).append(word)
    words["neither"] = [absent(rng, both, names)]
    if not set(words) & set(ORDINALS) and rng.random() < 0.75:
        return  # of nearly equal images it would nearly always be "both"
    answer = rng.choice(sorted(words))
    word = rng.choice(words[answer])
    boxes = tuple(whole(item, n) for n, scene in enumerate(scenes) for item in _shown(scene, word))
    choices = ("the first", "the second", "both", "neither")
    wording = phrase(rng, _SHOWS, one=article(word))
    fact = frozenset({("shows", word)})
    tells = fact | given | {("count", word)} if answer in ORDINALS else fact
    yield Candidate(Question("shows", wording, answer, "exact", choices, answer == "neither", boxes), fact, tells)


def _three(rng: Random, pool: Pool, split: Split, names: Sequence[str]) -> _Made:
    """Three images of one thing each: which shows it, which is turned, which is another."""
    kind = rng.choice(("shows", "turned", "odd"))
    made = _turned(rng, pool, split) if kind == "turned" else None
    if made is not None:
        return made
    place = rng.randrange(3)
    if kind != "shows":
        kind = "odd"
        item, other = draw_things(rng, pool, split, 2, shapes=0.2)
        things = [other if number == place else item for number in range(3)]
    else:
        things = draw_things(rng, pool, split, 3, shapes=0.2)
    scenes = [settle(rng, [thing], tokens=(20, 50), fill=(0.2, 0.6)) for thing in things]
    boxes = (whole(scenes[place].placed[0], place),)
    words = phrase(rng, _ODD) if kind != "shows" else phrase(rng, _SHOWS, one=article(label(things[place])))
    question = Question(kind, words, ORDINALS[place], choices=ORDINALS, boxes=boxes)
    fact = frozenset({("which",)})
    found = [Candidate(question, fact, fact)]
    if kind == "shows" and len(names) > 3:
        word = absent(rng, replace(scenes[0], placed=tuple(s.placed[0] for s in scenes)), names)
        none = Question("shows", phrase(rng, _SHOWS, one=article(word)), "none", absent=True)
        found = [Candidate(none, fact, fact)] if rng.random() < 0.15 else found
    # of another image than the one that is asked for; it would still rule that one out
    number = rng.choice([item for item in range(3) if item != place])
    words = phrase(rng, _WHAT, nth=ORDINALS[number])
    shown_there = scenes[number].placed[0]
    what = Question("what", words, label(shown_there.cutout), boxes=(whole(shown_there, number),))
    found.append(Candidate(what, frozenset({("what", number)}), fact if kind == "shows" else frozenset()))
    return scenes, found[:1] if kind != "shows" else [], found


def _turned(rng: Random, pool: Pool, split: Split) -> _Made | None:
    """The same thing three times, once turned by a quarter or a half; None when no such thing looks unlike then."""
    for _ in range(20):
        [thing] = draw_things(rng, pool, split, 1, shapes=0)
        degrees = rng.choice((90, 180, 270))
        if _looks_turned(thing, degrees):
            break
    else:
        return None
    place = rng.randrange(3)
    scenes = []
    for number in range(3):
        scene = settle(rng, [thing], tokens=(20, 50), fill=(0.25, 0.5))
        side = round(0.75 * min(scene.size))
        item = place_at(thing, side, 0, 0, turned=degrees if number == place else 0)
        x, y = rng.randint(0, scene.width - item.box[2]), rng.randint(0, scene.height - item.box[3])
        scenes.append(replace(scene, placed=(item.at(x, y),)))
    words = phrase(rng, _TURNED, it=thing.name)
    question = Question(
        "turned", words, ORDINALS[place], choices=ORDINALS, boxes=(whole(scenes[place].placed[0], place),)
    )
    fact = frozenset({("which",)})
    return scenes, [Candidate(question, fact, fact)], []


def _looks_turned(thing: Cutout, degrees: int) -> bool:
    """Whether people would see it: a ball or a star looks the same."""
    upright, turned = (
        np.asarray(_small(place_at(thing, 48, 0, 0, turned=angle)), dtype=np.float32) for angle in (0, degrees)
    )
    return float(np.abs(upright - turned).mean()) > 34


def _small(placed: Placed) -> np.ndarray:
    """The thing in a square of 48 pixels, on grey: (48, 48, 3)."""
    image = shown(placed)
    square = np.full((48, 48, 3), 128, dtype=np.uint8)
    pixels = np.asarray(image)
    top, left = (48 - image.height) // 2, (48 - image.width) // 2
    alpha = pixels[..., 3:] / 255
    part = square[top : top + image.height, left : left + image.width]
    square[top : top + image.height, left : left + image.width] = pixels[..., :3] * alpha + part * (1 - alpha)
    return square


FAMILY = Family("pairs", "Several pictures", KINDS, draw, needs=STYLES)

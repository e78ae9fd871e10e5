"""Captions and naming: one thing or a few on a ground, what it is, what it is not, and all of it in a line."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Question, Split
from pixelword.synthetic.wording import article, phrase
from pixelword_lab.candidates import Candidate, choose
from pixelword_lab.drawing.backgrounds import NAMED, worn
from pixelword_lab.drawing.compose import Scene, render
from pixelword_lab.drawing.naming import absent, draw_things, label, made_of, settle, whole
from pixelword_lab.drawing.objects import COLOURS, STYLES, Cutout, clash, colour_named, colour_of, concepts, cutouts
from pixelword_lab.families import flags
from pixelword_lab.family import Family, Task

KINDS = {
    "name": "image", "choice": "image", "sort": "image", "caption": "image", "ground": "image", "colour": "image",
    "is": "hallucination",
}  # fmt: skip

_NAME = (
    "What is this?", "What is this?", "What is in the picture?", "What does the picture show?", "Name the object.",
    "What can you see?", "Which thing is shown?", "What do you see in this picture?", "What is it?",
)  # fmt: skip
_IS_IT = (
    "Is this {one}?", "Is this {one}?", "Does the picture show {one}?", "Is it {one}?", "Would you call this {one}?",
    "Is that {one} in the picture?",
)  # fmt: skip
_CHOICE = (
    "Is this {a}, {b} or {c}?", "Which is it: {a}, {b} or {c}?", "What does the picture show, {a}, {b} or {c}?",
    "Choose one: {a}, {b} or {c}.",
)  # fmt: skip
_SORT = (
    "What kind of thing is this?", "What sort of thing is it?", "Which kind of thing do you see?",
    "What is this: {kinds}?",
)  # fmt: skip
_CAPTION = (
    "Describe the picture.", "Describe the picture in a few words.", "Write a short caption.", "Caption this image.",
    "What is in the picture, from left to right?", "Describe this image briefly.", "Give the picture a short title.",
)  # fmt: skip
_COLOUR = ("What colour is it?", "What colour is this thing?", "Which colour is it?", "What color is it?")
_BEHIND = (
    "What colour is the background?", "Which colour is the background?", "What is the colour of the background?",
)  # fmt: skip
_GROUND = (
    "What is the background?", "What is in the background?", "What is behind it all?", "Which ground do you see?",
    "What does the background look like?",
)  # fmt: skip
#: What a ground is called in an answer.
GROUNDS = {
    "grass": "grass", "sand": "sand", "snow": "snow", "water": "water", "wood": "a wooden floor",
    "bricks": "a brick wall", "stars": "a starry sky",
}  # fmt: skip


#: Of images, where the pack of flags is there.
_FLAGS = 0.05


def draw(rng: Random, split: Split, assets: Assets) -> Task:
    """One thing, large, two times in three; else two or three side by side; now and then a flag."""
    if assets.has("flags") and rng.random() < _FLAGS:
        return flags.draw(rng, split, assets)
    pool = cutouts(assets, split)
    number = 1 if rng.random() < 0.65 else rng.randint(2, 3)
    things = draw_things(rng, pool, split, number, shapes=0.08)
    fill = (0.25, 0.7) if len(things) == 1 else (0.22, 0.5)
    tokens = (12, 130) if len(things) == 1 else (40, 200)
    scene = settle(rng, things, tokens=tokens, fill=fill)
    # negatives are named as training names things, whatever the split shows
    names = cutouts(assets, "train").names
    beginning = [*_ground(rng, scene), *_colours(rng, scene)]
    if len(things) == 1:
        beginning += [_is(rng, scene, names), _is(rng, scene, names), *_sort(rng, scene)]
    questions = list(choose(rng, beginning, rng.randint(1, 3) if len(things) == 1 else rng.randint(0, 1)))
    named = any(question.kind == "is" and question.answer == "yes" for question in questions)
    if not named:
        ground = any(question.kind == "ground" for question in questions)
        late = [_name(rng, scene), *_choice(rng, scene, names)] if len(things) == 1 else []
        questions += choose(rng, late if ground and late else [*late, _caption(rng, scene)], 1)
    picture = worn(rng, render(scene))
    return Task(({"type": "image", "image": picture},), tuple(questions), made_of(scene))


_TOLD = frozenset({"name"})


def _name(rng: Random, scene: Scene) -> Candidate:
    thing = scene.placed[0]
    question = Question("name", phrase(rng, _NAME), label(thing.cutout), boxes=(whole(thing),))
    return Candidate(question, _TOLD, _TOLD | {"sort"})


def _choice(rng: Random, scene: Scene, names: list[str]) -> list[Candidate]:
    thing = scene.placed[0]
    others = _likes(rng, thing.cutout, names)
    if len(others) < 2:
        return []
    a, b, c = options = rng.sample([label(thing.cutout), *others], 3)
    words = phrase(rng, _CHOICE, a=article(a), b=article(b), c=article(c))
    question = Question("choice", words, label(thing.cutout), "exact", tuple(options), boxes=(whole(thing),))
    return [Candidate(question, _TOLD, _TOLD)]


def _is(rng: Random, scene: Scene, names: list[str]) -> Candidate:
    """'Is this a dog?': after a "yes" its name is known, after a "no" it is not."""
    thing, yes = scene.placed[0], rng.random() < 0.5
    word = label(thing.cutout) if yes else absent(rng, scene, names)
    words = phrase(rng, _IS_IT, one=article(word))
    boxes = (whole(thing),) if yes else ()
    question = Question("is", words, "yes" if yes else "no", "exact", ("yes", "no"), not yes, boxes)
    return Candidate(question, _TOLD, _TOLD | {"sort"} if yes else frozenset())


def _sort(rng: Random, scene: Scene) -> list[Candidate]:
    """'What kind of thing is this?' -> 'animal', of kinds on which people agree."""
    concept = concepts()[scene.placed[0].cutout.name]
    if not concept.countable:
        return []
    kinds = tuple(sorted({item.kind for item in concepts().values() if item.countable}))
    listed = f"{', '.join(map(article, kinds[:-1]))} or {article(kinds[-1])}"
    fact = frozenset({"sort"})
    question = Question("sort", phrase(rng, _SORT, kinds=listed), concept.kind, "exact", kinds)
    return [Candidate(question, fact, fact)]


def _colours(rng: Random, scene: Scene) -> Iterator[Candidate]:
    """Of a thing alone where it has one, and of a plain background."""
    thing = scene.placed[0]
    colour = colour_of(thing.cutout)
    if (
        len(scene.placed) == 1
        and colour
        and thing.cutout.style != "shape"
        and thing.cutout.name.split()[0] not in COLOURS
    ):
        fact = frozenset({"colour"})
        question = Question("colour", phrase(rng, _COLOUR), colour, "exact", tuple(COLOURS), boxes=(whole(thing),))
        yield Candidate(question, fact, fact)
    behind = colour_named(scene.ground.rgb) if scene.ground.kind in ("plain", "grain") else None
    if behind is not None:
        fact = frozenset({"ground"})
        question = Question("ground", phrase(rng, _BEHIND), behind, "exact", tuple(COLOURS))
        yield Candidate(question, fact, fact)


def _likes(rng: Random, cutout: Cutout, names: list[str]) -> list[str]:
    """Two other names of its kind, that nobody would call it."""
    likes = [n for n in names if concepts()[n].kind == cutout.kind and not clash(n, cutout.name)]
    if cutout.style == "shape" or len(likes) < 2:
        return []
    first = rng.choice(likes)
    rest = [n for n in likes if not clash(n, first)]
    return [first, rng.choice(rest)] if rest else []


def _caption(rng: Random, scene: Scene) -> Candidate:
    """Everything from left to right, then the ground where it has a name."""
    placed = sorted(scene.placed, key=lambda item: item.centre[0])
    words = [article(label(thing.cutout)) for thing in placed]
    answer = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    if scene.ground.name:
        answer = f"{answer} {NAMED[scene.ground.name]}"
    facts = frozenset({"name", "ground"}) if scene.ground.name else frozenset({"name"})
    question = Question("caption", phrase(rng, _CAPTION), answer, "words", boxes=tuple(map(whole, placed)))
    return Candidate(question, facts, facts | {"sort"})


def _ground(rng: Random, scene: Scene) -> list[Candidate]:
    if scene.ground.name is None:
        return []
    fact = frozenset({"ground"})
    answers = tuple(GROUNDS.values())
    question = Question("ground", phrase(rng, _GROUND), GROUNDS[scene.ground.name], "exact", answers)
    return [Candidate(question, fact, fact)]


FAMILY = Family("captions", "Captions and names", KINDS, draw, needs=STYLES)

"""The tasks that nano learns: a kind, a level and a random generator make a conversation with right answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from random import Random
from typing import Any

import numpy as np

from pixelword.errors import InputError
from pixelword.processing.types import Sample
from pixelword.synthetic import boxes, changed, glyphs, motion, nearer, order, pairs, reading
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.comparing import YES_NO, alternatives
from pixelword.synthetic.drawing import render
from pixelword.synthetic.kinds import KINDS, READING
from pixelword.synthetic.questions import ASKERS, Facts, Turn, ask_count_of
from pixelword.synthetic.scenes import CELLS, COLOURS, PAIRS, SHAPES, Pair, Scene, Split, draw_scene, most_things
from pixelword.synthetic.text import ask_text

SYSTEM_SHARE = 0.02
SYSTEMS = ("You are nano.", "Reason step by step.", "Answer the question.", "You are a helpful assistant.")
_LARGE_SHARE = 0.25

Part = dict[str, Any]
MoreTurns = Callable[[Facts], Turn | None]


def draw(
    kind: str,
    rng: np.random.Generator,
    *,
    level: float = 1.0,
    split: Split = "train",
    turns: int = 1,
    assets: Assets | None = None,
) -> Sample:
    """A conversation of one image (two for "pair" and "changed", a clip for "motion" and "order", none for "text").

    kind: one of ``KINDS``. With ``turns`` 1 the one question is of this kind; with more, a conversation has up to
    that many about the same image, of mixed kinds, none of which gives away a later answer.
    level: 0 (one large thing on a plain 64x64 ground) to 1 (five small ones on a noisy 128x128).
    split: train and test share no random stream, and no held-out combination (see ``scenes``).
    assets: where the fonts and words of text to read come from in training; the packs' usual folder when absent.
    Raises InputError for an unknown kind or split, or a level outside 0..1; AssetError when a pack is missing.
    """
    _check(kind, level, split, turns)
    # a split is part of the seed, so equal generators still draw unlike scenes for training and for the test
    random = Random(f"{split} {rng.integers(2**63)}")
    parts, first, others = _FAMILIES[kind](random, kind, level, split, assets or default_assets())
    number = 1 if turns == 1 or random.random() < 0.2 else random.randint(2, turns)
    asked = converse(random, first, others, number)
    system = random.choice(SYSTEMS) if split == "train" and random.random() < SYSTEM_SHARE else None
    return Sample(_messages(parts, asked, system), asked[-1].kind)


@lru_cache(maxsize=1)
def default_assets() -> Assets:
    """The packs of the usual folder."""
    return Assets()


def draw_kind(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """A kind chosen in proportion to the weights. Raises InputError: an unknown kind, or no weight above 0."""
    unknown = sorted(set(weights) - set(KINDS))
    if unknown or not sum(weights.values()) > 0 or min(weights.values()) < 0:
        raise InputError(f"mixture {dict(weights)}: weigh some of {', '.join(KINDS)}, at least one above 0")
    kinds = [kind for kind in KINDS if kind in weights]
    shares = np.array([weights[kind] for kind in kinds], dtype=np.float64)
    return kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]


def answers(kind: str) -> tuple[str, ...]:
    """The answers that are possible at level 1, equally often but for chance; () where they are open."""
    return _ANSWERS.get(kind, ())


def chance(kind: str) -> float:
    """How often a guess is right at best, without the image; 0.0 for kinds with open answers."""
    return 1 / len(answers(kind)) if answers(kind) else 0.0


def choices(kind: str, question: str, answer: str) -> tuple[str, ...]:
    """The answers that a guess from the question alone chooses between; () for open questions.

    kind: of the question; answer: the right one, which says whether it is a question for yes or no.
    """
    if kind not in _COMPARING:
        return answers(kind)
    return YES_NO if answer in YES_NO else alternatives(question)


#: Kinds of which some questions let choose between two answers.
_COMPARING = ("changed", "order", "nearer")
_ANSWERS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "count": ("1", "2", "3", "4", "5"),
    "count_of": ("1", "2", "3", "4", "5"),
    "where": CELLS,
    "what": tuple(f"{'an' if colour[0] == 'o' else 'a'} {colour} {shape}" for colour, shape in PAIRS),
    "yesno": ("yes", "no"),
    "pair": pairs.WHICH,
    "motion": tuple(motion.WAYS),
}


def converse(rng: Random, first: Turn, others: Sequence[MoreTurns], number: int) -> tuple[Turn, ...]:
    """``first`` among up to ``number`` turns, none giving away what a later one asks; "describe" comes last."""
    asked = [first]
    for _ in range(2 * (number - 1) if others else 0):
        if len(asked) == number:
            break
        known = frozenset().union(*(turn.tells for turn in asked))
        turn = rng.choice(others)(known)
        if turn is None:
            continue
        front, back = [turn, *asked], [*asked, turn]
        orders = (front, back) if asked[-1].kind == "describe" or rng.random() < 0.5 else (back, front)
        asked = next((order for order in orders if not gives_away(order)), asked)
    return tuple(asked)


def gives_away(turns: Sequence[Turn]) -> bool:
    """Whether some answer is known before its question, or "describe" is not last."""
    known: set[object] = set()
    for number, turn in enumerate(turns):
        if turn.asks <= known or (turn.kind == "describe" and number < len(turns) - 1):
            return True
        known |= turn.tells | turn.asks if turn.kind != "pair" else turn.tells
    return False


def _messages(parts: Sequence[Part], turns: Sequence[Turn], system: str | None) -> tuple[dict[str, Any], ...]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for number, turn in enumerate(turns):
        content: str | list[Part] = turn.question
        if number == 0 and parts:
            content = [*parts, {"type": "text", "text": turn.question}]
        messages.append({"role": "user", "content": content})
        messages.append({"role": "assistant", "content": turn.answer})
    return tuple(messages)


def _check(kind: str, level: float, split: str, turns: int) -> None:
    if kind not in KINDS:
        raise InputError(f"unknown kind of task {kind!r}: choose one of {', '.join(KINDS)}")
    if split not in ("train", "test"):
        raise InputError(f"unknown split {split!r}: choose train or test")
    if not 0.0 <= level <= 1.0:
        raise InputError(f"level {level} is outside 0..1: 0 is easy, 1 is hard")
    if turns < 1:
        raise InputError(f"turns {turns}: a conversation has at least one")


Drawn = tuple[list[Part], Turn, list[MoreTurns]]


def _picture(picture: object) -> Part:
    return {"type": "image", "image": picture}


def _draw_scene(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    """A scene of coloured shapes and a first question of this kind; scenes that allow none are drawn again."""
    first: Turn | None
    while True:
        if kind == "count" and rng.random() < 0.5 * level:
            scene, first = _draw_count_of(rng, level, split)
            secondary = tuple(other for other in ASKERS if other not in ("count", "describe"))
        else:
            scene, first = _draw_any(rng, kind, level, split)
            secondary = tuple(ASKERS)
        if first is not None:
            others: list[MoreTurns] = [partial(ASKERS[other], rng, scene) for other in secondary]
            # after a description there is nothing left to ask, so it stands alone half the time
            return [_picture(render(scene))], first, others if kind != "describe" or rng.random() < 0.5 else []


def _draw_any(rng: Random, kind: str, level: float, split: Split) -> tuple[Scene, Turn | None]:
    number = rng.randint(1, max(2, most_things(level)) if kind == "count" else most_things(level))
    large = number == 1 and kind not in ("where", "what") and rng.random() < _LARGE_SHARE
    scene = draw_scene(rng, level=level, split=split, allowed=[PAIRS] * number, large=large)
    return scene, ASKERS[kind](rng, scene, frozenset())


def _draw_count_of(rng: Random, level: float, split: Split) -> tuple[Scene, Turn]:
    """How many red circles, circles or red things, among others: every number up to five as often."""
    number = rng.randint(1, max(2, most_things(level))) if rng.random() < 0.95 else 0
    colour = rng.choice(tuple(COLOURS)) if (form := rng.random()) < 0.6 else ""
    shape = rng.choice(SHAPES) if form > 0.3 else ""

    def wanted(pair: Pair) -> bool:
        return colour in ("", pair[0]) and shape in ("", pair[1])

    inside, outside = [p for p in PAIRS if wanted(p)], [p for p in PAIRS if not wanted(p)]
    extra = rng.randint(0 if number else 1, min(3, 7 - number))
    scene = draw_scene(rng, level=level, split=split, allowed=[inside] * number + [outside] * extra)
    return scene, ask_count_of(rng, scene, colour, shape)


def _draw_glyphs(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    picture, text, colour = glyphs.draw_glyphs(rng, kind, level, split)
    first = glyphs.ask_text_shown(rng, kind, text)
    return [_picture(picture)], first, [lambda known: glyphs.ask_glyph_colour(rng, kind, text, colour)]


def _draw_pair(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    pair = pairs.draw_pair(rng, level, split)
    first = pairs.ask_pair(rng, pair)
    return [_picture(render(scene)) for scene in pair.scenes], first, [lambda known: pairs.ask_one_of(rng, pair)]


def _draw_motion(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    clip, way, thing = motion.draw_motion(rng, level, split)
    first = motion.ask_motion(rng, thing, way)
    return [{"type": "video", "video": clip}], first, [lambda known: motion.ask_moving_thing(rng, thing)]


def _draw_text(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    return [], ask_text(rng, split), [lambda known: ask_text(rng, split)]


def _draw_changed(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    closed = rng.random() < changed.CLOSED
    change = changed.draw_change(rng, level, split, closed=closed)
    first = changed.ask_same(rng, change) if closed else changed.ask_changed(rng, change)
    # of the second image too, what changed would be known before it is asked for
    one_of = partial(pairs.ask_one_of, rng, pairs.ScenePair(change.scenes), 0)
    return [_picture(render(scene)) for scene in change.scenes], first, [lambda known: one_of()]


def _draw_order(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    happening = order.draw_happening(rng, level, split)
    first = order.ask_order(rng, happening)
    return [{"type": "video", "video": happening.clip}], first, [lambda known: order.ask_how_many(rng, happening)]


def _draw_nearer(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    """Scenes without a difference that is clear enough are drawn again."""
    form = nearer.choose_form(rng, level)
    while True:
        scene = nearer.draw_compared(rng, level, split, form.least)
        first = form.ask(rng, scene)
        if first is not None:
            return [_picture(render(scene))], first, [partial(asker, rng, scene) for asker in ASKERS.values()]


def _draw_box(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    while True:
        number = rng.randint(1, most_things(level))
        large = number == 1 and rng.random() < _LARGE_SHARE
        scene = draw_scene(rng, level=level, split=split, allowed=[PAIRS] * number, large=large)
        first = boxes.ask_box(rng, scene, frozenset())
        if first is not None:
            askers = [*ASKERS.values(), boxes.ask_box]
            return [_picture(render(scene))], first, [partial(asker, rng, scene) for asker in askers]


def _draw_reading(rng: Random, kind: str, level: float, split: Split, assets: Assets) -> Drawn:
    picture, first, more = reading.draw_reading(rng, kind, level, split, assets)
    return [_picture(picture)], first, [lambda known: more()] if more else []


_FAMILIES: dict[str, Callable[[Random, str, float, Split, Assets], Drawn]] = {
    **dict.fromkeys(ASKERS, _draw_scene),
    "digits": _draw_glyphs, "letters": _draw_glyphs,
    "pair": _draw_pair, "motion": _draw_motion, "text": _draw_text,
    "changed": _draw_changed, "order": _draw_order, "nearer": _draw_nearer, "box": _draw_box,
    **dict.fromkeys(READING, _draw_reading),
}  # fmt: skip

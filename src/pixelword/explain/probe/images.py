"""Wrong images, one at a time: which of several images an answer needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pixelword.errors import InputError, MediaError
from pixelword.evaluation.runner import shown
from pixelword.explain.probe.forward import Score, asked
from pixelword.explain.probe.questions import Questions
from pixelword.explain.probe.types import Bar, Curve, Finding, mean

if TYPE_CHECKING:
    from pixelword.evaluation.types import Item, Part


def images(questions: Questions) -> Finding:
    """Share of answers that stay right when image number k is another question's, and when all are.

    Definition: null(k) = accuracy with image (or frame) k replaced by the one in that place of the next question of the
    same kind with another answer; null(all) with all of them replaced; a model that looks falls to chance there.
    Source: the wrong-image control of `pixelword evaluate`, place by place.

    Control: no image at all.
    """
    plain, items = questions.plain, questions.items
    score = _Scorer(questions)
    wrong, none, swapped = [], [], []
    by_place: dict[int, list[float]] = {}
    several: list[float] = []
    for number, item in enumerate(items):
        questions.report("images", number, len(items))
        others = shown(items, item, "wrong")
        wrong.append(score(item, others))
        none.append(score(item, ()))
        for place, media in _replaced(item.media, others):
            found = score(item, media)
            if found is not None:
                by_place.setdefault(place, []).append(float(found.right))
                several.append(float(plain[number].right))
        if len(item.media) > 1:
            swapped.append(score(item, item.media[::-1]))
    bars = [Bar("own images", mean([float(each.right) for each in plain]), control=True)]
    bars += [
        Bar(name, mean([float(each.right) for each in found if each is not None]), control)
        for name, found, control in (
            ("another question's images", wrong, False),
            ("no image", none, True),
            ("own images in reverse order", swapped, False),
        )
        if any(each is not None for each in found)
    ]
    curves: tuple[Curve, ...] = ()
    if by_place:
        bars.append(Bar("several images: own", mean(several), control=True))
        bars.append(Bar("several images: one replaced", mean([x for found in by_place.values() for x in found])))
        places = sorted(by_place)
        curves = (Curve("image k replaced", tuple(places), tuple(mean(by_place[place]) for place in places)),)
    return Finding(
        "images",
        "Wrong images, one at a time",
        "null(k) = mean[answer right | image k is another question's]",
        "wrong-image control, place by place",
        len(questions), "share of answers right", tuple(bars), curves, "image or frame k",
        notes=("In a question of two images, replacing either may leave the answer right by itself: chance is not 0.",),
    )  # fmt: skip


class _Scorer:
    def __init__(self, questions: Questions) -> None:
        self.session = questions.session

    def __call__(self, item: Item, media: Sequence[Part]) -> Score | None:
        """Score the item's answer with other media; None if they cannot be read in its place."""
        try:
            return asked(self.session, item.key, item.messages(media), item.question.answer).score()
        except (InputError, MediaError):
            return None


def _replaced(own: Sequence[Part], others: Sequence[Part]) -> Iterator[tuple[int, list[Part]]]:
    """(k, media with image or frame k replaced), where there are several images or frames of the same kind."""
    if len(own) > 1:
        for place, (part, other) in enumerate(zip(own, others, strict=False)):
            if part["type"] == other["type"]:
                yield place, [*own[:place], other, *own[place + 1 :]]
        return
    for (clip,), (other,) in [(own, others)] if len(own) == len(others) == 1 else ():
        if clip["type"] != "video" or other["type"] != "video":
            return
        frames, theirs = _frames(clip), _frames(other)
        for place in range(min(len(frames), len(theirs)) if len(frames) > 1 else 0):
            changed = [*frames[:place], theirs[place].resize(frames[place].size), *frames[place + 1 :]]
            yield place, [{**clip, "video": replace(clip["video"], frames=tuple(changed))}]


def _frames(part: Part) -> Sequence:  # of a decoded video; a file's are not decoded here
    return getattr(part["video"], "frames", ())

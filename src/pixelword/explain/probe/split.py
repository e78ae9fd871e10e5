"""Two separate passes through the pre-buffer: images by themselves, text by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pixelword.evaluation.means import Rate
from pixelword.evaluation.scores import wilson
from pixelword.explain.probe import published
from pixelword.explain.probe.forward import Asked, Score
from pixelword.explain.probe.intervention import Intervention, between_images, cut
from pixelword.explain.probe.knockout import accuracy, lost, text_to_image
from pixelword.explain.probe.questions import Questions
from pixelword.explain.probe.types import Bar, Finding, mean
from pixelword.generation.late_options import LateReading

if TYPE_CHECKING:
    from pixelword.evaluation.types import Test
    from pixelword.generation.session import Session


def split(questions: Questions) -> Finding | None:
    """Share of answers right when the pre-buffer reads images and text in two passes that do not see each other.

    Definition: in the pre-buffer A[l, q, k] = 0 wherever q and k are of different modality; accuracy as in `knockout`.
    "each image alone" also cuts every image from every other: then its states there depend on nothing but itself.
    Source: the two-pass study of NEO 1.0; the same as running the pre-buffer once per modality with positions kept.

    Controls: one pass; the same in all layers after the pre-buffer. None for a model without pre-buffer.
    """
    if not questions.before:
        return None
    early, late = range(questions.before), range(questions.before, questions.layers)
    plain = questions.plain
    runs = {
        "two passes: images, text": questions.scores("split: two passes", lambda item: apart(item, early)),
        "each image alone, and text": questions.scores("split: alone", lambda item: alone(item, early)),
    }
    bars = [Bar("one pass", accuracy(plain), control=True)]
    bars += [Bar(name, accuracy(scores)) for name, scores in runs.items()]
    text_alone = questions.scores("split: text to image", text_to_image(early))
    bars.append(Bar("text to image cut alone", accuracy(text_alone), control=True))
    rest = questions.scores("split: the rest", lambda item: apart(item, late))
    bars.append(Bar("two passes through the rest instead", accuracy(rest), control=True))
    bars += [Bar(f"lost: {name}", lost(plain, scores)) for name, scores in runs.items()]
    bars += [Bar(f"answers changed: {name}", changed(plain, scores)) for name, scores in runs.items()]
    return Finding(
        "split",
        "Two separate passes through the pre-buffer",
        "accuracy with A[l, q, k] = 0 in the pre-buffer for q, k of different modality (and of different images)",
        "two-pass study of NEO 1.0",
        len(questions), "share of questions", tuple(bars),
        published=published.SPLIT,
        notes=(
            "An answer changed if any token of the reference answer has another likeliest token in its place.",
            "Images that are read alone have the same states wherever they stand: that is what a cache of images "
            "by content would need.",
        ),
    )  # fmt: skip


def allow_late_reading(
    session: Session, tests: Sequence[Test], *, bound: float = 0.02, limit: int = 50, seed: int = 0
) -> LateReading:
    """Measure how many answers late reading changes, and allow it to an engine.

    Args:
        tests: Whose questions are asked; those with images count.
        bound: Share of answers that may change; the upper end of the 95 % interval must be below it.
        limit: Questions of each test.
        seed: Of the questions.

    Raises:
        InputError: more answers change, or may; or no question has an image.
    """
    questions = Questions.of(session, tests, limit=limit, seed=seed, report=lambda *_: None)
    scores = questions.scores("late reading", lambda item: alone(item, range(questions.before)))
    rate = changed(questions.plain, scores)
    _, high = wilson(round(rate.value * len(questions)), len(questions))
    return LateReading(rate.value, high, len(questions), bound)


def apart(item: Asked, layers: range) -> Sequence[Intervention]:
    """Text and images do not read each other."""
    return cut(layers, item.text, item.visual), cut(layers, item.visual, item.text)


def alone(item: Asked, layers: range) -> Sequence[Intervention]:
    """Nor do images read each other."""
    device = item.visual.device
    between = between_images(layers, item.images, len(item.visual))
    return *apart(item, layers), Intervention(between.layers, between.hidden.to(device))


def changed(plain: Sequence[Score], scores: Sequence[Score]) -> Rate:
    """Share of answers whose likeliest tokens are not those of the plain pass."""
    return mean([float(own.tokens != other.tokens) for own, other in zip(plain, scores, strict=True)])

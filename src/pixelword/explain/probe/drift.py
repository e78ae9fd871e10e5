"""Whether an image's states depend on the prompt: the same image after another question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixelword.explain.probe.forward import Asked, asked
from pixelword.explain.probe.intervention import cut
from pixelword.explain.probe.questions import Questions
from pixelword.explain.probe.types import Bar, Curve, Finding, mean

if TYPE_CHECKING:
    from pixelword.evaluation.types import Item, Part


def drift(questions: Questions) -> Finding | None:
    """How far an image's states move when the text before it is another question.

    Definition: drift(l) = mean over visual tokens of 1 - cos(h_l, h'_l), h and h' the states before layer l with
    question q and with question q' in the system message, which is before the image.
    Source: prompt-swap comparison of image states; cosine distance.

    Controls: the image first, as it is in training, where an image cannot see the question and drift is exactly 0; the
    same question before another image of the same size, which is the scale of the curve. None if all questions are the
    same words.
    """
    length, items = questions.layers + 1, questions.items
    swapped: list[list[float]] = [[] for _ in range(length)]
    cut_off: list[list[float]] = [[] for _ in range(length)]
    other_image: list[list[float]] = [[] for _ in range(length)]
    behind: list[float] = []
    for number, item in enumerate(items):
        questions.report("drift", number, len(items))
        words = item.question.question
        following = [*items[number + 1 :], *items[:number]]
        swap = next((x.question.question for x in following if x.question.question != words), None)
        if swap is None:
            continue
        here, there = (_read(questions, item.media, text, first=True) for text in (words, swap))
        _add(swapped, distances(here, there))
        _add(cut_off, distances(here, there, cut_off=True))
        behind.append(max(distances(*(_read(questions, item.media, text, first=False) for text in (words, swap)))))
        alike = next((x for x in following if _grids(questions, x) == _grids(questions, item)), None)
        if alike is not None:
            _add(other_image, distances(here, _read(questions, alike.media, words, first=True)))
    if not behind:
        return None
    layers = tuple(range(length))
    curves = [
        Curve("another question before the image", layers, tuple(map(mean, swapped))),
        Curve("the same, image to text cut", layers, tuple(map(mean, cut_off)), control=True),
    ]
    if other_image[0]:
        curves.append(Curve("another image", layers, tuple(map(mean, other_image)), control=True))
    bars = [
        Bar("drift after the pre-buffer", mean(swapped[questions.before])),
        Bar("drift after the last layer", mean(swapped[-1])),
        Bar("question after the image, largest of all layers", mean(behind), control=True),
    ]
    return Finding(
        "drift",
        "Drift of image states with the prompt",
        "drift(l) = mean over visual tokens of 1 - cos(h_l(q), h_l(q'))",
        "prompt-swap comparison of states, cosine distance",
        len(behind), "cosine distance", tuple(bars), tuple(curves), "state before layer l",
        notes=("The question is in the system message, since the chat format puts an image before the user's words.",),
    )  # fmt: skip


def distances(a: Asked, b: Asked, *, cut_off: bool = False) -> list[float]:
    """Cosine distance of the visual tokens' states before each layer and after the last.

    cut_off: images do not read text.
    """
    whole = range(a.model.config.get_text_config().num_hidden_layers)
    states = [x.states([cut(whole, x.visual, x.text)] if cut_off else ()) for x in (a, b)]
    return [_distance(h[a.visual], other[b.visual]) for h, other in zip(*states, strict=True)]


def _distance(a: Tensor, b: Tensor) -> float:
    return float(1 - torch.cosine_similarity(a.double(), b.double(), dim=-1).mean())


def _read(questions: Questions, media: Sequence[Part], words: str, *, first: bool) -> Asked:
    """A question before its images, or after them; the answer is not looked at.

    The chat format puts a single image before the user's words, so what comes first is the system message.
    """
    user = {"role": "user", "content": [*media, {"type": "text", "text": "yes?" if first else words}]}
    system = [{"role": "system", "content": words}] if first else []
    return asked(questions.session, "drift", [*system, user], "yes")


def _grids(questions: Questions, item: Item) -> list[list[int]]:
    """The grids of an item's images: equal grids have equal visual tokens in the same places."""
    number = next(k for k, entry in enumerate(questions.items) if entry is item)
    return questions.asked[number].encoded.image_grid_hw.tolist()


def _add(curves: Sequence[list[float]], values: Sequence[float]) -> None:
    for curve, value in zip(curves, values, strict=True):
        curve.append(value)

"""Attention knock-out of text reading images, by bands of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pixelword.evaluation.means import Rate
from pixelword.explain.probe import published
from pixelword.explain.probe.forward import Asked, Score
from pixelword.explain.probe.intervention import Intervention, cut, cut_at_random
from pixelword.explain.probe.questions import Questions, band_name, bands
from pixelword.explain.probe.types import Bar, Curve, Finding, mean

Make = Callable[[Asked], Sequence[Intervention]]


def knockout(questions: Questions) -> Finding:
    """Share of answers that stay right when text does not read images in some layers.

    Definition: for a band B of layers, A[l, q, k] = 0 for every l in B, text token q and visual token k, before the
    softmax (the score is minus infinity); accuracy(B) = mean over questions of [greedy answer = right answer].
    Source: attention knock-out (Geva et al., 2023, arXiv 2304.14767), applied to text -> image reading.

    Controls: as many (query, key) pairs hidden at random in the same layers; image -> text reading cut instead; all
    layers cut, which leaves nothing of the image to the answer.
    """
    layers, before = questions.layers, questions.before
    whole, early, late = range(layers), range(before), range(before, layers)
    made: dict[str, tuple[Make, bool]] = {}
    if before:
        made["text to image cut in the pre-buffer"] = (text_to_image(early), False)
    made["text to image cut in the rest"] = (text_to_image(late), False)
    made["text to image cut in all layers"] = (text_to_image(whole), True)
    if before:
        made["as many pairs at random, pre-buffer"] = (_at_random(early, questions.seed), True)
    made["as many pairs at random, the rest"] = (_at_random(late, questions.seed), True)
    made["image to text cut in all layers"] = (lambda item: [cut(whole, item.visual, item.text)], True)
    bars = [Bar("nothing cut", accuracy(questions.plain), control=True)]
    for name, (make, control) in made.items():
        bars.append(Bar(name, accuracy(questions.scores(f"knockout: {name}", make)), control))
    if before:
        early_scores = questions.scores("knockout: lost", text_to_image(early))
        bars.append(Bar("lost by the cut in the pre-buffer", lost(questions.plain, early_scores)))
    curves = _by_band(questions)
    return Finding(
        "knockout",
        "Cutting text to image reading, by layers",
        "accuracy(B) = mean[greedy answer = right answer], with A[l, q, k] = 0 for l in B, q in text, k in image",
        "attention knock-out: Geva et al. 2023, arXiv 2304.14767",
        len(questions), "share of answers right", tuple(bars), curves, "layers cut, first of the band",
        published=published.KNOCKOUT,
        notes=(
            f"The pre-buffer is layers 0 to {before - 1}." if before else "This model has no pre-buffer.",
            "An answer is right if greedy decoding would write the reference answer, its end included.",
        ),
    )  # fmt: skip


def text_to_image(layers: range) -> Make:
    """Text does not read images in these layers."""
    return lambda item: [cut(layers, item.text, item.visual)]


def _at_random(layers: range, seed: int) -> Make:
    def make(item: Asked) -> list[Intervention]:
        return [cut_at_random(cut(layers, item.text, item.visual), item.visible, item.text, seed)]

    return make


def _by_band(questions: Questions) -> tuple[Curve, ...]:
    """Each band cut by itself, with its random control."""
    width = [*bands(0, questions.before, 4), *bands(questions.before, questions.layers)]
    names = {"text to image cut in this band alone": False, "as many pairs at random": True}
    found: list[Curve] = []
    for name, control in names.items():
        rates = []
        for band in width:
            make = _at_random(band, questions.seed) if control else text_to_image(band)
            rates.append(accuracy(questions.scores(f"knockout: layers {band_name(band)}", make)))
        found.append(Curve(name, tuple(band.start for band in width), tuple(rates), control))
    return tuple(found)


def lost(plain: Sequence[Score], scores: Sequence[Score]) -> Rate:
    """Right answers lost, as a share of all questions, question by question."""
    return mean([float(own.right) - float(other.right) for own, other in zip(plain, scores, strict=True)])


def accuracy(scores: Sequence[Score]) -> Rate:
    """Share of right answers."""
    return mean([float(score.right) for score in scores])

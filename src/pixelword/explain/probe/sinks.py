"""Attention sinks: keys that take a large share of attention whatever is asked."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelword.explain.probe import published
from pixelword.explain.probe.forward import Asked
from pixelword.explain.probe.questions import Questions
from pixelword.explain.probe.types import Bar, Curve, Finding, mean
from pixelword.explain.trace import Step
from pixelword.model.attention import attention_weights
from pixelword.model.masks import Interval

#: A key is a sink of a layer if it gets this many times its even share.
TIMES = 5.0
#: Queries of a question that are looked at, at most, spread evenly.
ROWS = 64


def sinks(questions: Questions) -> Finding:
    """Share of text's attention on sinks, on the first token and on images, by layer.

    Definition: r[h, k] = mean over text queries q of A[h, q, k] * (number of keys that q sees), the attention of key k
    in a head as a multiple of its even share; sinks of a head are the keys with r > 5; sink(l) = mean over the
    layer's heads and text queries of the sum of A[h, q, k] over the head's sinks.
    Source: attention sinks (Xiao et al., 2023, arXiv 2309.17453).

    Control: the share that as many keys would take if attention were even.
    """
    names = ("on sinks", "even attention on as many keys", "on the first token", "on images", "on image markers")
    found: dict[str, list[list[float]]] = {name: [[] for _ in range(questions.layers)] for name in names}
    visual_sinks, all_sinks = 0, 0
    for question in questions.each("sinks"):
        rows = spread(question.text.nonzero()[:, 0])
        sees = (question.visible.hi - question.visible.lo + 1)[0, rows]
        markers = _markers(question)
        with torch.no_grad():
            for number, (_, step) in enumerate(question.steps()):
                weights = rows_attention(question, step, rows)
                sink = (weights * sees[:, None]).mean(1) > TIMES
                shares = (
                    (weights * sink[:, None]).sum(-1).mean(),
                    sink.sum(-1).float().mean() * (1 / sees).mean(),
                    weights[..., 0].mean(),
                    weights[..., question.visual].sum(-1).mean(),
                    weights[..., markers].sum(-1).mean(),
                )
                for name, share in zip(names, shares, strict=True):
                    found[name][number].append(float(share))
                visual_sinks += int((sink & question.visual).sum())
                all_sinks += int(sink.sum())
    layers = tuple(range(questions.layers))
    curves = tuple(
        Curve(name, layers, tuple(map(mean, by_layer)), name.startswith("even")) for name, by_layer in found.items()
    )
    bars = tuple(
        Bar(f"mean of layers, {name}", mean([sum(each) / len(each) for each in zip(*by_layer, strict=True)]),
            name.startswith("even"))
        for name, by_layer in found.items()
    )  # fmt: skip
    return Finding(
        "sinks",
        "Attention sinks",
        f"sink(l) = mean over heads h and text queries q of sum_k A[h, q, k] over keys k whose attention"
        f" in that head is over {TIMES:g} times even",
        "attention sinks: Xiao et al. 2023, arXiv 2309.17453",
        len(questions), "share of text's attention", bars, curves,
        published=published.SINKS,
        notes=(
            f"Of all sinks found, {visual_sinks:,} of {all_sinks:,} are visual tokens.",
            "Short prompts have few keys: five times an even share of 20 keys is a quarter of all attention.",
        ),
    )  # fmt: skip


def rows_attention(question: Asked, step: Step, rows: Tensor) -> Tensor:
    """(heads, rows, L) attention of some queries in a layer."""
    visible = Interval(question.visible.lo[:, rows], question.visible.hi[:, rows])
    scaling = question.model.config.get_text_config().head_dim ** -0.5
    return attention_weights(step.q[:, :, rows], step.k, visible, scaling)[0]


def spread(rows: Tensor, most: int = ROWS) -> Tensor:
    """At most this many rows, spread evenly."""
    return rows if len(rows) <= most else rows[torch.linspace(0, len(rows) - 1, most).long().to(rows.device)]


def _markers(question: Asked) -> Tensor:
    """(L,) bool: the tokens that open and close images."""
    found = torch.zeros_like(question.visual)
    for image in question.images:
        found[image.start - 1], found[image.stop] = True, True
    return found

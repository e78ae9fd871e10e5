"""The T, H and W parts of the attention score, by layer and head."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelword.evaluation.means import Rate
from pixelword.explain.maps import split
from pixelword.explain.probe.forward import Asked
from pixelword.explain.probe.questions import Questions
from pixelword.explain.probe.sinks import spread
from pixelword.explain.probe.types import Bar, Curve, Finding, Grid, ratio
from pixelword.explain.trace import Step

NAMES = ("T", "H", "W")
READERS = ("the answer reads images", "images read themselves")


def parts(questions: Questions) -> Finding:
    """Which part of the score decides among an image's tokens: content and time (T), row (H) or column (W).

    Definition: a score is the sum q.k = T + H + W, exactly. Over the visual tokens k that a query sees, share of part p
    = cov_k(p, T + H + W) / var_k(T + H + W), summed over queries and questions before dividing; the three shares sum to
    1, and one may be negative.
    Source: the THW-decoupled head of NEO-ov (arXiv 2605.28820, section 3.2); the covariance split of a variance.

    Control: a third each, as if the parts were alike.
    """
    heads = questions.session.model.config.get_text_config().num_attention_heads
    # reader -> layer -> per question (heads, 3) covariances and (heads,) variances
    found: dict[str, list[list[Tensor]]] = {name: [[] for _ in range(questions.layers)] for name in READERS}
    for question in questions.each("parts"):
        rows = {READERS[0]: question.rows, READERS[1]: spread(question.visual.nonzero()[:, 0])}
        with torch.no_grad():
            for number, (_, step) in enumerate(question.steps()):
                for name, own in rows.items():
                    found[name][number].append(covariances(question, step, own).cpu())
    layers = tuple(range(questions.layers))
    curves, grids, bars = [], [], []
    for name in READERS:
        for part, letter in enumerate(NAMES):
            by_layer = [_share([each.sum(0) for each in own], part) for own in found[name]]
            curves.append(Curve(f"{letter}, {name}", layers, tuple(by_layer)))
            whole = [torch.stack(each).sum((0, 1)) for each in zip(*found[name], strict=True)]
            bars.append(Bar(f"{letter}, {name}", _share(whole, part)))
        total = [torch.stack(own).sum(0) for own in found[name]]
        values = [(1 - each[:, 0] / each.sum(1).clamp(min=1e-12)).tolist() for each in total]
        grids.append(
            Grid(
                f"H + W share, {name}",
                tuple(f"layer {n}" for n in layers),
                tuple(f"head {n}" for n in range(heads)),
                tuple(map(tuple, values)),
            )
        )
    return Finding(
        "parts",
        "T, H and W shares of the score",
        "share(p) = cov_k(p, T + H + W) / var_k(T + H + W) over the visual tokens k that a query sees",
        "arXiv 2605.28820, section 3.2; covariance split of a variance",
        len(questions), "share of the score's variance", tuple(bars), tuple(curves), grids=tuple(grids),
        notes=("Shares sum to 1. A negative share works against the other parts. An even split is 0.33 each.",),
    )  # fmt: skip


def covariances(question: Asked, step: Step, rows: Tensor) -> Tensor:
    """(heads, 3): covariance of T, H and W with the score over the visual tokens that each query sees, summed over
    queries; over the three it is the score's variance."""
    group = step.q.shape[1] // step.k.shape[1]
    places = question.visual.nonzero()[:, 0]
    q, k = step.q[0, :, rows].float(), step.k[0][:, places].float().repeat_interleave(group, 0)
    scores = torch.stack([a @ b.transpose(1, 2) for a, b in zip(split(q), split(k), strict=True)])
    lo, hi = question.visible.lo[0, rows, None], question.visible.hi[0, rows, None]
    seen = ((places >= lo) & (places <= hi)).float()
    count = seen.sum(-1, keepdim=True).clamp(min=1)
    centred = (scores - (scores * seen).sum(-1, keepdim=True) / count) * seen
    return (centred * centred.sum(0)).sum(-1).div(count[:, 0]).sum(-1).T


def _share(own: list[Tensor], part: int) -> Rate:
    """A part's share, from (3,) covariances of each question."""
    return ratio([float(each[part]) for each in own], [float(each.sum()) for each in own])

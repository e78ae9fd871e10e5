"""Similarity of states between layers: linear CKA."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pixelword.evaluation.means import Rate
from pixelword.explain.probe.questions import Questions
from pixelword.explain.probe.types import Curve, Finding, Grid, jackknifed

#: States of each question, and of all of them, at most.
EACH, ALL = 4, 512
_GROUPS = 10


def cka(questions: Questions) -> Finding:
    """How alike the states before two layers are, for visual tokens and for the answer's.

    Definition: CKA(X, Y) = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)) with linear kernels and the unbiased HSIC, X and Y
    (tokens, hidden_size) states of the same tokens at two depths; 1 for equal states up to rotation and scale.
    Source: Kornblith et al., 2019 (arXiv 1905.00414); unbiased HSIC as in Nguyen et al., 2021 (arXiv 2010.15327).
    Intervals: delete-a-group jackknife, ten groups of questions.

    Control: the tokens of one of the two layers shuffled, where it is 0 up to noise.
    """
    kept: dict[str, list[list[Tensor]]] = {"visual tokens": [], "answer tokens": []}
    most = max(1, min(EACH, ALL // len(questions)))
    for question in questions.each("cka"):
        states = question.states()
        for name, places in (("visual tokens", question.visual.nonzero()[:, 0]), ("answer tokens", question.rows)):
            order = torch.randperm(len(places), generator=questions.generator())[:most]
            rows = places[order.to(places.device)]
            kept[name].append([state[rows].double().cpu() for state in states])
    curves, grids = [], []
    length = questions.layers + 1
    for name, found in kept.items():
        found = found[: ALL // most]
        grams = [gram(torch.cat([question[layer] for question in found])) for layer in range(length)]
        groups = torch.cat([torch.full((len(question[0]),), n % _GROUPS) for n, question in enumerate(found)])
        grids.append(_grid(name, grams))
        order = torch.randperm(len(groups), generator=questions.generator())
        pairs = [(grams[n], grams[n + 1]) for n in range(length - 1)]
        ends = [(grams[n], grams[-1]) for n in range(length - 1)]
        null = [(a, b[order][:, order]) for a, b in pairs]
        layers = tuple(range(length - 1))
        for title, both, control in (
            (f"{name}: layer l with l + 1", pairs, False),
            (f"{name}: layer l with the last", ends, False),
            (f"{name}: shuffled", null, True),
        ):
            curves.append(Curve(title, layers, tuple(_estimated(a, b, groups) for a, b in both), control))
    return Finding(
        "cka",
        "Similarity of layers (CKA)",
        "CKA(X, Y) = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)), linear kernels, unbiased HSIC",
        "Kornblith et al. 2019, arXiv 1905.00414; Nguyen et al. 2021, arXiv 2010.15327",
        len(questions), "CKA", (), tuple(curves), "state before layer l", tuple(grids),
    )  # fmt: skip


def gram(states: Tensor) -> Tensor:
    """(n, n) linear kernel of states (n, hidden_size), without its diagonal."""
    centred = states - states.mean(0)
    return (centred @ centred.T).fill_diagonal_(0)


def similarity(a: Tensor, b: Tensor) -> float:
    """CKA from two kernels without their diagonals; at least four tokens. 0 if either layer's states are all alike."""
    size = _hsic(a, a) * _hsic(b, b)
    return _hsic(a, b) / size**0.5 if size > 0 else 0.0


def _hsic(a: Tensor, b: Tensor) -> float:
    """Unbiased HSIC (Song et al., 2012), up to a factor that CKA cancels."""
    n = len(a)
    if n < 4:
        return 0.0
    both = float((a * b).sum())
    sums = float(a.sum() * b.sum()) / ((n - 1) * (n - 2))
    return both + sums - 2 * float(a.sum(0) @ b.sum(1)) / (n - 2)


def _estimated(a: Tensor, b: Tensor, groups: Tensor) -> Rate:
    without = []
    for group in groups.unique():
        rows = (groups != group).nonzero()[:, 0]
        if len(rows) >= 4:
            without.append(similarity(a[rows][:, rows], b[rows][:, rows]))
    return jackknifed(similarity(a, b), without)


def _grid(name: str, grams: Sequence[Tensor]) -> Grid:
    labels = tuple(str(n) for n in range(len(grams)))
    values = tuple(tuple(similarity(a, b) for j, b in enumerate(grams)) for i, a in enumerate(grams))
    return Grid(name, labels, labels, values)

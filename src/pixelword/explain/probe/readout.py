"""What can be read from the states at each depth: pixels from visual tokens, the answer from text."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelword.evaluation.means import Rate
from pixelword.explain.probe.forward import Asked
from pixelword.explain.probe.questions import Questions
from pixelword.explain.probe.types import Bar, Curve, Finding, mean, ratio
from pixelword.model.network import merged_patch_index

#: Visual tokens of a question, at most.
EACH = 32


def readout(questions: Questions) -> Finding:
    """Linear readout of colours from visual tokens, and the answer read from every layer by the model's own head.

    Definition: R2(l) = 1 - sum |y - W h_l|^2 / sum |y - mean y|^2 on held-out questions, y the mean colours of a visual
    token's patches, W ridge regression on the other half of the questions, both halves in turn; lens(l) = mean of the
    right answer's likelihood from head(norm(h_l)) at its places.
    Source: linear probes (Alain and Bengio, 2016, arXiv 1610.01644); logit lens (nostalgebraist, 2020).

    Control: the colours of another visual token, at random, which no state can know; likelihood without the image is in
    `retained`.
    """
    states: list[list[Tensor]] = []
    targets: list[Tensor] = []
    lens: list[list[float]] = [[] for _ in range(questions.layers + 1)]
    for question in questions.each("readout"):
        own = question.states()
        places = question.visual.nonzero()[:, 0][:EACH]
        states.append([state[places].double().cpu() for state in own])
        targets.append(colours(question)[:EACH].double())
        for number, state in enumerate(own):
            lens[number].append(question.scored(question.read_out(state)).likelihood)
    mixed = _shuffled(targets, questions.generator())
    layers = tuple(range(questions.layers + 1))
    by_layer = [[own[layer] for own in states] for layer in layers]
    curves = (
        Curve("colours from visual tokens, R2", layers, tuple(_held_out(x, targets) for x in by_layer)),
        Curve("colours of another token, R2", layers, tuple(_held_out(x, mixed) for x in by_layer), control=True),
        Curve("right answer by the model's head", layers, tuple(map(mean, lens))),
    )
    bars = (
        Bar("colours before the first layer", curves[0].rates[0]),
        Bar("colours after the pre-buffer", curves[0].rates[questions.before]),
        Bar("colours after the last layer", curves[0].rates[-1]),
    )
    return Finding(
        "readout",
        "What can be read at each depth",
        "R2(l) = 1 - sum |y - W h_l|^2 / sum |y - mean y|^2, held out; lens(l) = likelihood from head(norm(h_l))",
        "linear probes: Alain and Bengio 2016, arXiv 1610.01644; logit lens: nostalgebraist 2020",
        len(questions), "R2, or likelihood", bars, curves, "state before layer l",
    )  # fmt: skip


def colours(question: Asked) -> Tensor:
    """(V, 3 * patches per token): the mean colours of each visual token's patches, as normalised for the network."""
    encoded, merge = question.encoded, question.model.config.vision_config.merge_size
    index, _ = merged_patch_index(encoded.image_grid_hw, merge)
    return encoded.pixel_values.float().unflatten(1, (3, -1)).mean(-1)[index].flatten(1)


def _held_out(states: list[Tensor], targets: list[Tensor]) -> Rate:
    """R2 over questions, each read by what was fitted to the other half."""
    gained, whole = [0.0] * len(states), [0.0] * len(states)
    for half in (0, 1):
        fitted = [n for n in range(len(states)) if n % 2 != half]
        if not fitted:
            continue
        x, y = torch.cat([states[n] for n in fitted]), torch.cat([targets[n] for n in fitted])
        weights, middle, mean_x = ridge(x, y)
        for n in range(half, len(states), 2):
            error = (targets[n] - middle - (states[n] - mean_x) @ weights).square().sum()
            whole[n] = float((targets[n] - middle).square().sum())
            gained[n] = whole[n] - float(error)
    return ratio(gained, whole)


def ridge(x: Tensor, y: Tensor, strength: float = 1e-2) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression of y (n, m) on x (n, d): weights (d, m), and the means of y and of x.

    strength: of the penalty, as a share of the mean variance of x.
    """
    mean_x, mean_y = x.mean(0), y.mean(0)
    a = x - mean_x
    scale = float(a.square().mean()) * len(a) * strength
    inner = a.T @ a + (scale + 1e-12) * torch.eye(a.shape[1], dtype=a.dtype)
    return torch.linalg.solve(inner, a.T @ (y - mean_y)), mean_y, mean_x


def _shuffled(targets: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    whole = torch.cat(targets)
    return list(whole[torch.randperm(len(whole), generator=generator)].split([len(each) for each in targets]))

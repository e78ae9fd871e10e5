"""The built-in compressors. Each takes the share of tokens that stays, and `random` is what the others must beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pixelword.errors import InputError
from pixelword.generation.compression.compressor import Kept, Prompt, VisualCompressor


def budgets(grid: Tensor, share: float) -> list[tuple[int, int, int]]:
    """(first token, tokens, tokens to keep) of each image: this share, and one at least."""
    sizes = grid.prod(-1).tolist()
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [(a, n, min(n, max(1, round(share * n)))) for a, n in zip(starts, sizes, strict=True)]


def _highest(scores: Tensor, grid: Tensor, share: float) -> Kept:
    """The tokens of each image with the highest scores (n,)."""
    found = [a + scores[a : a + n].topk(k).indices for a, n, k in budgets(grid, share)]
    return Kept(torch.cat(found).sort().values)


@dataclass(frozen=True)
class Random:
    """Tokens of each image at random: the honest baseline."""

    share: float
    seed: int = 0

    def keep(self, grid: Tensor, states: Tensor, prompt: Prompt) -> Kept:
        generator = torch.Generator().manual_seed(self.seed)
        return _highest(torch.rand(len(states), generator=generator).to(states.device), grid, self.share)


@dataclass(frozen=True)
class Uniform:
    """Tokens of each image at even distances, row by row."""

    share: float
    seed: int = 0

    def keep(self, grid: Tensor, states: Tensor, prompt: Prompt) -> Kept:
        found = [a + ((torch.arange(k) + 0.5) * n / k).long() for a, n, k in budgets(grid, self.share)]
        return Kept(torch.cat(found).to(states.device))


@dataclass(frozen=True)
class Norm:
    """The tokens of each image with the largest states (L2 norm)."""

    share: float
    seed: int = 0

    def keep(self, grid: Tensor, states: Tensor, prompt: Prompt) -> Kept:
        return _highest(states.float().norm(dim=-1), grid, self.share)


@dataclass(frozen=True)
class Merge:
    """Similar tokens of an image become their mean: the two most alike groups are joined until few enough are left.

    Token merging (Bolya et al., 2022, arXiv 2210.09461) with the exact nearest pair in place of bipartite matching. A
    group stands where the member nearest to its mean stood.
    """

    share: float
    seed: int = 0

    def keep(self, grid: Tensor, states: Tensor, prompt: Prompt) -> Kept:
        indices, rows = [], []
        for a, n, k in budgets(grid, self.share):
            member = _groups(states[a : a + n].float(), k)
            means = member / member.sum(1, keepdim=True)
            nearest = (
                F.normalize(states[a : a + n].float(), dim=-1)
                @ F.normalize(means @ states[a : a + n].float(), dim=-1).T
            )
            places = nearest.T.masked_fill(member == 0, -torch.inf).argmax(1)
            order = places.argsort()
            indices.append(a + places[order])
            row = torch.zeros(k, len(states), device=states.device)
            row[:, a : a + n] = means[order]
            rows.append(row)
        return Kept(torch.cat(indices), torch.cat(rows))


def _groups(states: Tensor, count: int) -> Tensor:
    """(count, n) float: 1 where a token is of a group."""
    member = torch.eye(len(states), device=states.device)
    sums, alive = states.clone(), torch.ones(len(states), dtype=torch.bool, device=states.device)
    means = F.normalize(states, dim=-1)
    alike = (means @ means.T).fill_diagonal_(-torch.inf)
    best, partner = alike.max(1)  # of each group; kept up to date, so that a step is not n * n
    for _ in range(len(states) - count):
        i = int(best.argmax())
        j = int(partner[i])
        member[i] += member[j]
        sums[i] += sums[j]
        alive[j] = False
        means[i] = F.normalize(sums[i], dim=0)
        similar = (means @ means[i]).masked_fill(~alive, -torch.inf)
        similar[i] = -torch.inf
        alike[i], alike[:, i] = similar, similar
        alike[j], alike[:, j] = -torch.inf, -torch.inf
        stale = ((partner == i) | (partner == j)).nonzero()[:, 0]
        closer = similar > best
        best, partner = torch.where(closer, similar, best), torch.where(closer, i, partner)
        rows = torch.cat((stale, stale.new_tensor([i, j])))
        best[rows], partner[rows] = alike[rows].max(1)
    return member[alive]


@dataclass(frozen=True)
class QuestionLed:
    """The tokens of all images that the question attends to most; an image may lose all of its tokens but one."""

    share: float
    seed: int = 0

    def keep(self, grid: Tensor, states: Tensor, prompt: Prompt) -> Kept:
        if prompt.attention is None:
            raise InputError("question-led compression needs attention: use it after the pre-buffer or in the cache")
        parts = budgets(grid, self.share)
        scores = prompt.attention.clone()
        for a, n, _ in parts:
            scores[a + int(scores[a : a + n].argmax())] += 1.0  # an image's best token stays
        return Kept(scores.topk(sum(k for _, _, k in parts)).indices.sort().values)


#: Name -> compressor from (share, seed).
METHODS: dict[str, Callable[[float, int], VisualCompressor]] = {
    "random": Random,
    "uniform": Uniform,
    "norm": Norm,
    "merge": Merge,
    "question": QuestionLed,
}

"""Scores maps against occlusion: how many of the cells that matter they find, compared with chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelword.explain.maps import Maps
from pixelword.explain.occlusion import Hider, Occlusion

#: What the page and the tables call the methods, in their order.
METHODS = {
    "last": "attention, last layer",
    "mean": "attention, all layers",
    "rollout": "attention rollout",
    "gradient": "gradient × attention",
}
#: A cell matters when hiding it costs at least this share of what the costliest cell does …
SHARE = 0.5
#: … and nothing matters when the costliest cell costs less than this, in nats a word.
LEAST = 0.1
_STEPS, _SHUFFLES = 12, 4


@dataclass(frozen=True)
class Check:
    """Scores of one method on one answer.

    rank: Spearman's correlation with the drops. found: of the k cells that matter, the share among the method's first
    k. area: mean likelihood of the words, as a share of the untouched one, while cells are hidden in the method's
    order; low is good. curve: that likelihood by share hidden, at `Faithfulness.hidden`.
    """

    rank: float
    found: float
    area: float
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Faithfulness:
    """checks: by method, "occlusion" (the drops' own order) and "chance" (random orders) among them.

    matter: how many cells matter, of `cells`; where it is 0 no single cell does, and `found` says nothing.
    """

    checks: dict[str, Check]
    matter: int
    cells: int
    hidden: tuple[float, ...]


def by_method(maps: Maps, visual: Tensor) -> dict[str, Tensor]:
    """Return each method's map at the visual tokens, (N, V)."""
    return {
        "last": maps.weights[:, -1].mean(1)[:, visual],
        "mean": maps.weights.mean((1, 2))[:, visual],
        "rollout": maps.rollout[:, visual],
        "gradient": maps.gradient[:, visual],
    }


def check(hider: Hider, occlusion: Occlusion, maps: Mapping[str, Tensor], *, seed: int = 0) -> Faithfulness:
    """Score every method's map (N, V) against the drops, over all words of the answer."""
    drops = occlusion.drops.mean(0)
    matter = mattering(drops)
    scores = {
        name: torch.stack([item.sum(0)[list(c.tokens)].sum() for c in occlusion.cells]) for name, item in maps.items()
    }
    orders = {
        name: [score.argsort(descending=True, stable=True)] for name, score in {**scores, "occlusion": drops}.items()
    }
    generator = torch.Generator().manual_seed(seed)
    orders["chance"] = [torch.randperm(len(drops), generator=generator) for _ in range(_SHUFFLES)]
    counts = sorted({round(len(drops) * step / _STEPS) for step in range(_STEPS + 1)})
    curves = _curves(hider, orders, counts)
    chance = len(matter) / len(drops)
    checks = {}
    for name, curve in curves.items():
        rank = 1.0 if name == "occlusion" else 0.0 if name == "chance" else spearman(scores[name], drops)
        share = chance if name == "chance" else found(orders[name][0], matter)
        checks[name] = Check(rank, share, _area(curve, counts), tuple(curve.tolist()))
    return Faithfulness(checks, len(matter), len(drops), tuple(count / len(drops) for count in counts))


def mattering(drops: Tensor) -> frozenset[int]:
    """Return the numbers of the cells that matter."""
    most = float(drops.max())
    return frozenset() if most < LEAST else frozenset((drops >= SHARE * most).nonzero()[:, 0].tolist())


def found(order: Tensor, matter: frozenset[int]) -> float:
    """Return the share of the k cells that matter among the first k of an order; 0 if none matters."""
    first = set(order[: len(matter)].tolist())
    return len(first & matter) / len(matter) if matter else 0.0


def spearman(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation, ties sharing their mean rank; 0 if either vector is constant."""
    ranks = torch.stack([_ranks(a), _ranks(b)])
    spread = ranks - ranks.mean(1, keepdim=True)
    size = spread.norm(dim=1).prod()
    return float(spread[0] @ spread[1] / size) if size > 0 else 0.0


def _ranks(x: Tensor) -> Tensor:
    _, places, counts = x.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0)
    return (ends - (counts - 1) / 2).double()[places]


def _curves(hider: Hider, orders: Mapping[str, list[Tensor]], counts: list[int]) -> dict[str, Tensor]:
    """(steps,) likelihood by cells hidden, as a share of the untouched, geometric mean over words, mean over orders."""
    wanted = {
        tuple(sorted(order[:count].tolist())) for several in orders.values() for order in several for count in counts
    }
    variants = sorted(wanted)
    shares = (hider.likelihoods(variants) - hider.untouched).mean(1).exp()
    known = dict(zip(variants, shares.tolist(), strict=True))

    def curve(order: Tensor) -> Tensor:
        return torch.tensor([known[tuple(sorted(order[:count].tolist()))] for count in counts])

    return {name: torch.stack([curve(order) for order in several]).mean(0) for name, several in orders.items()}


def _area(curve: Tensor, counts: list[int]) -> float:
    return float(torch.trapezoid(curve, torch.tensor(counts, dtype=torch.float32) / counts[-1]))

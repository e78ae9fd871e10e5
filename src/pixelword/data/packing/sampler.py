"""Endless sample order: a pure function of (counts, weights, seed), computed slice by slice.

Every source is shuffled again in each pass. Sources are interleaved evenly: at any point, each has had its share of
samples to within one, so every part of training sees the recipe's mixture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_PASSES_KEPT = 2  # orders in memory for each source: a stretch may cross from one pass into the next


def chosen(count: int, share: float, salt: int) -> np.ndarray:
    """Mask of positions that belong to a share: (count,) bool; at least one if `share` is above 0.

    Position i belongs or does not whatever `count` is, so what is held out stays held out when a source grows or when
    another stage has a limit.
    """
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    taken = x < np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    if share >= 1:
        taken[:] = True
    elif share > 0 and count and not taken.any():
        taken[x.argmin()] = True
    return taken


class Order:
    """counts: samples of each source; weights: relative share of the stream for each (0: never used)."""

    def __init__(self, counts: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.counts, self.seed = tuple(counts), seed
        total = sum(weights)
        self.rates = tuple(weight / total for weight in weights)
        self._passes: dict[tuple[int, int], np.ndarray] = {}

    def stretch(self, start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
        """Samples from moment `start` to `end` of the stream, one a unit of time: (source (n,) int32, position (n,)
        int64 among that source's samples)."""
        sources, positions, moments = [], [], []
        for source, rate in enumerate(self.rates):
            # draw k of a source happens at (k + 1/2) / rate
            draws = np.arange(math.ceil(start * rate - 0.5), math.ceil(end * rate - 0.5))
            if draws.size:
                sources.append(np.full(draws.size, source, np.int32))
                positions.append(self._positions(source, draws))
                moments.append((draws + 0.5) / rate)
        if not sources:
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        turn = np.argsort(np.concatenate(moments), kind="stable")
        return np.concatenate(sources)[turn], np.concatenate(positions)[turn]

    def _positions(self, source: int, draws: np.ndarray) -> np.ndarray:
        """Return positions of the source's draws number `draws` (ascending)."""
        count = self.counts[source]
        passes, places = np.divmod(draws, count)
        found = np.empty(draws.size, np.int64)
        for number in range(int(passes[0]), int(passes[-1]) + 1):
            here = passes == number
            found[here] = self._pass(source, number)[places[here]]
        return found

    def _pass(self, source: int, number: int) -> np.ndarray:
        """Return the permutation of one pass over a source."""
        key = (source, number)
        if key not in self._passes:
            for old in [k for k in self._passes if k[0] == source][: 1 - _PASSES_KEPT]:
                del self._passes[old]
            rng = np.random.default_rng((self.seed, 1, source, number))
            kind = np.int32 if self.counts[source] < 2**31 else np.int64
            self._passes[key] = rng.permutation(np.arange(self.counts[source], dtype=kind))
        return self._passes[key]

"""Shrinks the images of samples that are too long for a row until they fit, using only the index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixelword.data.index import Index, Lengths
from pixelword.data.packing.best_fit import Budget
from pixelword.processing.options import MediaOptions

if TYPE_CHECKING:
    from pixelword.processing.processor import NeoOVProcessor

COSTS = ("tokens", "patches", "pairs")  # the fields of `Lengths`
_CHUNK = 1 << 18  # samples whose costs are found at once


@dataclass(frozen=True)
class Fitted:
    """Costs of n samples of a source, with images shrunk where that makes a sample fit.

    max_pixels (n,) int32: limit of shrunk images, 0 elsewhere; fits (n,) bool: whether the sample fits a row.
    """

    lengths: Lengths
    max_pixels: np.ndarray
    fits: np.ndarray

    def take(self, which: np.ndarray) -> Fitted:
        """Return those of these samples (indices or a mask)."""
        return Fitted(of_lengths(self.lengths, which), self.max_pixels[which], self.fits[which])


def of_lengths(lengths: Lengths, which: np.ndarray) -> Lengths:
    """Return the costs of these samples (indices or a mask)."""
    return Lengths(*(getattr(lengths, name)[which] for name in COSTS))


def fit(
    index: Index, rows: np.ndarray, budget: Budget, processor: NeoOVProcessor, media: MediaOptions | None = None
) -> Fitted:
    """Fit samples `rows` of an index into a row's budget; no image is shrunk below `min_pixels`."""
    media = media or MediaOptions()
    pieces = [
        _fit(index.take(rows[start : start + _CHUNK]), budget, processor, media)
        for start in range(0, max(len(rows), 1), _CHUNK)
    ]
    lengths = Lengths(*(np.concatenate([getattr(piece.lengths, name) for piece in pieces]) for name in COSTS))
    max_pixels = np.concatenate([piece.max_pixels for piece in pieces])
    return Fitted(lengths, max_pixels, np.concatenate([piece.fits for piece in pieces]))


def _fit(index: Index, budget: Budget, processor: NeoOVProcessor, media: MediaOptions) -> Fitted:
    lengths = index.lengths(processor, media)
    fits = budget.holds(lengths)
    max_pixels = np.zeros(len(index), np.int32)
    long = np.flatnonzero(~fits)
    if long.size == 0:
        return Fitted(lengths, max_pixels, fits)
    samples = index.take(long)
    low, high = processor.image_processor.budget(media.min_pixels, media.max_pixels)
    good = np.full(long.size, low, np.int64)  # as far as shrinking goes
    bad = np.full(long.size, high, np.int64)
    token = (processor.image_processor.patch_size * processor.image_processor.merge_size) ** 2
    while (bad - good).max() > token:  # halving: `good` fits, `bad` does not
        middle = (good + bad) // 2
        holds = budget.holds(samples.lengths(processor, media, middle))
        good, bad = np.where(holds, middle, good), np.where(holds, bad, middle)
    shrunk = samples.lengths(processor, media, good)
    can = budget.holds(shrunk)
    for name in COSTS:
        getattr(lengths, name)[long] = getattr(shrunk, name)
    max_pixels[long[can]] = good[can]
    fits[long] = can
    return Fitted(lengths, max_pixels, fits)

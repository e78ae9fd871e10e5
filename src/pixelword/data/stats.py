"""Statistics of a stage's data per source: tokens, images, answers and padding.

Sources in files are measured by their index, so nothing is decoded; synthetic tasks are generated and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixelword.data.index import VIDEO, Index
from pixelword.data.packing.packer import IGNORED
from pixelword.processing.options import MediaOptions

if TYPE_CHECKING:
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.processing.types import Encoded

BINS = 10  # of a histogram: what a screen shows without scrolling
_COMMONEST = 5  # sizes listed
_WIDE = 16  # the greatest over the least value, from which on bins grow by a factor rather than a step


@dataclass(frozen=True)
class Measures:
    """Measurements of n samples of a source with m images and frames, as the model reads them.

    tokens, answers (n,) int64: all tokens of a sample, and those with a loss; pictures (n,): images and frames in it.
    sizes (m, 2) int64: height and width in pixels that each is resized to; given (m, 2): those it comes with, or None
        where they are unknown (drawn images are made to size).
    videos: how many samples hold one. Not among the n: faults, samples that cannot be used. Among them: left_out,
    samples that the plan has no place for.
    """

    tokens: np.ndarray
    answers: np.ndarray
    pictures: np.ndarray
    sizes: np.ndarray
    given: np.ndarray | None = None
    videos: int = 0
    faults: int = 0
    left_out: int = 0


def measure_index(index: Index, processor: NeoOVProcessor, media: MediaOptions | None = None) -> Measures:
    """Measure the usable samples of a source, from its index."""
    usable = index.take(np.flatnonzero(index.usable))
    owner = np.repeat(np.arange(len(usable)), np.diff(usable.offsets))
    counts = usable.counts.astype(np.int64)
    return Measures(
        tokens=usable.lengths(processor, media).tokens,
        answers=usable.answer_tokens.astype(np.int64),
        pictures=np.bincount(owner, weights=counts, minlength=len(usable)).astype(np.int64),
        sizes=np.repeat(usable.grids(processor, media), counts, axis=0),
        given=np.repeat(usable.sizes.astype(np.int64), counts, axis=0),
        videos=int(np.unique(owner[usable.kinds == VIDEO]).size),
        faults=len(index.faults),
    )


def measure_encoded(samples: Iterable[Encoded], patch_size: int) -> Measures:
    """Measure encoded samples."""
    listed = list(samples)
    grids = [sample.image_grid_hw.numpy() for sample in listed]
    return Measures(
        tokens=np.array([len(sample) for sample in listed], dtype=np.int64),
        answers=np.array([int((sample.labels != IGNORED).sum()) for sample in listed], dtype=np.int64),
        pictures=np.array([len(grid) for grid in grids], dtype=np.int64),
        sizes=np.concatenate([np.zeros((0, 2), np.int64), *grids]) * patch_size,
        videos=sum(any(image.video is not None for image in sample.images) for sample in listed),
    )


@dataclass(frozen=True)
class Spread:
    """Distribution of values: sum, mean, and the 0, 10, 50, 90 and 100 % quantiles."""

    count: int
    total: int
    mean: float
    least: float
    low: float
    median: float
    high: float
    most: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """Describe values; all numbers are 0 if there are none."""
        if values.size == 0:
            return cls(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        places = (float(value) for value in np.percentile(values, (0, 10, 50, 90, 100)))
        return cls(int(values.size), int(values.sum()), float(values.mean()), *places)


@dataclass(frozen=True)
class Histogram:
    """counts[i] values are in [edges[i], edges[i + 1]); the last bin includes its end."""

    edges: tuple[int, ...]
    counts: tuple[int, ...]


def edges_for(values: np.ndarray, bins: int = BINS) -> tuple[int, ...]:
    """Integer edges of at most `bins` bins over the values: linear, or logarithmic for a wide range."""
    if values.size == 0:
        return (0, 1)
    least, most = int(values.min()), int(values.max()) + 1
    if least > 0 and most > _WIDE * least:
        edges = np.geomspace(least, most, bins + 1)
    else:
        edges = np.linspace(least, most, bins + 1)
    return tuple(np.unique(np.rint(edges).astype(np.int64)).tolist())


def histogram(values: np.ndarray, edges: Sequence[int]) -> Histogram:
    counts, _ = np.histogram(values, np.asarray(edges))
    return Histogram(tuple(edges), tuple(counts.tolist()))


@dataclass(frozen=True)
class SourceReport:
    """One source. weight: its share of the stage's samples (0 to 1). faults, left_out: as in `Measures`.

    words_only, videos: samples without any image, and with a video. visual_share: of all its tokens, the visual ones.
    kept: resized over given area, the mean over images; None where the given size is not known.
    sizes: the commonest (width, height) that images are resized to, and how many images have it.
    """

    name: str
    weight: float
    samples: int
    faults: int
    left_out: int
    words_only: int
    videos: int
    tokens: Spread
    answers: Spread
    pictures: Spread
    width: Spread
    height: Spread
    visual_share: float
    kept: float | None
    sizes: tuple[tuple[int, int, int], ...]
    lengths: Histogram


@dataclass(frozen=True)
class PacksReport:
    """Contents of packs. documents, tokens, pairs: per pack; room: total capacity in tokens.

    padding: share of that room that no document takes. uneven: the greatest over the mean pairs of a pack, so what a
    step waits for when every rank takes one pack.
    """

    packs: int
    room: int
    documents: Spread
    tokens: Spread
    pairs: Spread
    padding: float
    uneven: float
    faults: int = 0


def packs_report(
    tokens: Sequence[int], documents: Sequence[int], pairs: Sequence[int], room: int, faults: int = 0
) -> PacksReport:
    """Summarise packs by their tokens, documents and visible pairs, and their total capacity in tokens."""
    costs = np.asarray(pairs, np.int64)
    return PacksReport(
        packs=len(tokens),
        room=room,
        documents=Spread.of(np.asarray(documents, np.int64)),
        tokens=Spread.of(np.asarray(tokens, np.int64)),
        pairs=Spread.of(costs),
        padding=1 - sum(tokens) / max(room, 1),
        uneven=float(costs.max() / max(costs.mean(), 1)) if costs.size else 1.0,
        faults=faults,
    )


@dataclass(frozen=True)
class Report:
    """The report of `pixelword data stats`; the histograms of all sources share their edges."""

    sources: tuple[SourceReport, ...]
    packs: PacksReport | None


def report(
    measured: Mapping[str, Measures], weights: Mapping[str, float], side: int, packs: PacksReport | None = None
) -> Report:
    """Report on these sources. weights: relative, one per source; side: side of a visual token in pixels."""
    lengths = np.concatenate([np.zeros(0, np.int64), *(item.tokens for item in measured.values())])
    edges = edges_for(lengths)
    total = sum(weights.get(name, 0.0) for name in measured) or 1.0
    return Report(
        tuple(_source(name, item, weights.get(name, 0.0) / total, side, edges) for name, item in measured.items()),
        packs,
    )


def _source(name: str, measures: Measures, weight: float, side: int, edges: Sequence[int]) -> SourceReport:
    areas = measures.sizes.prod(-1)
    kinds, counts = np.unique(measures.sizes, axis=0, return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[:_COMMONEST]
    kept = None
    if measures.given is not None and len(areas):
        kept = float((areas / np.maximum(measures.given.prod(-1), 1)).mean())
    return SourceReport(
        name=name,
        weight=weight,
        samples=len(measures.tokens),
        faults=measures.faults,
        left_out=measures.left_out,
        words_only=int((measures.pictures == 0).sum()),
        videos=measures.videos,
        tokens=Spread.of(measures.tokens),
        answers=Spread.of(measures.answers),
        pictures=Spread.of(measures.pictures),
        width=Spread.of(measures.sizes[:, 1]),
        height=Spread.of(measures.sizes[:, 0]),
        visual_share=float(areas.sum() / side**2 / max(int(measures.tokens.sum()), 1)),
        kept=kept,
        sizes=tuple((int(kinds[k, 1]), int(kinds[k, 0]), int(counts[k])) for k in commonest),
        lengths=histogram(measures.tokens, edges),
    )

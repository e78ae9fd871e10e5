"""Which samples form which pack: a pure function of (indexes, recipe, seed), known before anything is decoded.

The samples of all sources form one endless order (`sampler.py`), taken in windows of some thousands. Each window is
packed by best fit (`best_fit.py`) and its packs are shuffled, so packs are full and steps are mixed. Packs are numbered
consecutively; those of step s start at `s * packs_per_step`, for any number of ranks. Windows are planned on demand.

A sample that is too long for a row has its images shrunk until it fits, but not below `min_pixels`; if that is not
enough, it is set aside, and `set_aside` gives the reason.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from pixelword.data.index import Index, Lengths
from pixelword.data.packing.best_fit import Budget, best_fit
from pixelword.data.packing.sampler import Order, chosen
from pixelword.data.packing.shrink_to_fit import COSTS, Fitted, fit, of_lengths
from pixelword.data.sources import media_options
from pixelword.errors import RecipeError

if TYPE_CHECKING:
    from pixelword.data.recipe import DataRecipe
    from pixelword.processing.processor import NeoOVProcessor

Part = Literal["train", "held_out", "all"]

WINDOW = 16_384  # samples packed together: enough for full packs, few enough to plan one in a blink
_HELD_OUT = 7_919  # what is held out is the same in all stages, whatever their seeds
_WINDOWS_KEPT = 2  # in memory: a step may cross from one into the next
_SHARE = 104_729 << 32  # beside the seed: which half of a source `name%50` takes


@dataclass(frozen=True)
class Planned:
    """One sample and its place in a pack.

    Attributes:
        index: Its number in the source.
        max_pixels: Limit of its images if they were shrunk to fit; None uses the recipe's.
        row: Row of the pack.
    """

    source: str
    index: int
    max_pixels: int | None
    tokens: int
    row: int


@dataclass(frozen=True)
class SetAside:
    """A skipped sample and the reason."""

    source: str
    index: int
    reason: str


@dataclass(frozen=True)
class _Phase:
    """Part of the stage with rows of one length, starting at pack `start`."""

    start: int
    length: int


@dataclass(frozen=True)
class _Window:
    """Input of one window: its samples of the order, and those left over from rows of another length."""

    phase: int
    left_over: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Contents:
    """Packs of a window, each a list of rows, each a list of indices into `sources` and `positions`."""

    sources: np.ndarray
    positions: np.ndarray
    packs: list[list[list[int]]]
    pairs: list[int]


class Plan:
    """The packing plan of a stage; `plan.pack(number)` returns the samples of a pack, row by row.

    indexes: by source name. part: training samples, held-out samples, or both.
    Raises RecipeError when the recipe leaves a source without samples, or names one twice.
    """

    def __init__(
        self,
        indexes: Mapping[str, Index],
        processor: NeoOVProcessor,
        data: DataRecipe,
        *,
        seed: int = 0,
        steps: int = 1,
        part: Part = "train",
    ) -> None:
        self.data, self.steps, self.packs_per_step = data, steps, data.packs
        shares = shares_of(data)
        self.sources = tuple(shares)
        self._indexes = [indexes[name] for name in self.sources]
        self._processor, self._media = processor, media_options(data)
        self._phases = _phases(data, steps)
        self._longest = max(phase.length for phase in self._phases)
        rows = [
            np.flatnonzero(_taken(index, data.holdout, share, part, seed))
            for index, (_, share) in zip(self._indexes, shares.values(), strict=True)
        ]
        fitted = self._fit(rows, self._longest)
        #: per source: the samples that are taken, and those that are too long for every row, with their costs
        self._active = [row[here.fits] for row, here in zip(rows, fitted, strict=True)]
        self._too_long = [(row[~here.fits], here.take(~here.fits)) for row, here in zip(rows, fitted, strict=True)]
        self._check_active()
        counts = [len(active) for active in self._active]
        weights = [
            count * data.sources[name].repeat if weight is None else weight
            for count, (name, (weight, _)) in zip(counts, shares.items(), strict=True)
        ]
        #: samples in one pass over the data, repeats counted
        self.samples = sum(counts) if data.mixture else max(round(sum(weights)), 1)
        self._order = Order(counts, weights, seed)
        #: share of the samples that each source gives
        self.shares = dict(zip(self.sources, self._order.rates, strict=True))
        self._seed = seed
        self._windows_per_pass = math.ceil(self.samples / WINDOW)
        self._windows: list[_Window] = []
        self._ends: list[int] = []  # of each window: the pack after its last one
        self._contents = lru_cache(maxsize=_WINDOWS_KEPT)(self._fill)
        self._fitted = {self._longest: [here.take(here.fits) for here in fitted]}
        for phase in self._phases:
            if phase.length not in self._fitted:
                self._fitted[phase.length] = self._fit(self._active, phase.length)
            if not any(here.fits.any() for here in self._fitted[phase.length]):
                raise RecipeError(f"data.length: no sample fits a row of {phase.length} tokens; raise it")

    def _check_active(self) -> None:
        for name, active, (too_long, _) in zip(self.sources, self._active, self._too_long, strict=True):
            if not active.size:
                why = f"{too_long.size} are too long for rows of {self._longest} tokens; " if too_long.size else ""
                raise RecipeError(
                    f"data.sources.{name}: no sample is left to take; {why}`pixelword data check` names what is wrong"
                )

    def pack(self, number: int) -> list[Planned]:
        """Return the samples of a pack, row by row."""
        window = self._window(number)
        contents = self._contents(window)
        fitted = self._fitted[self._phases[self._windows[window].phase].length]
        planned = []
        rows = contents.packs[number - self._first(window)]
        for row, place in ((row, place) for row, places in enumerate(rows) for place in places):
            source, position = int(contents.sources[place]), int(contents.positions[place])
            here = fitted[source]
            planned.append(
                Planned(
                    self.sources[source],
                    int(self._active[source][position]),
                    int(here.max_pixels[position]) or None,
                    int(here.lengths.tokens[position]),
                    row,
                )
            )
        return planned

    def costs(self, step: int) -> list[int]:
        """Visible (query, key) pairs of each of the step's packs."""
        first = step * self.packs_per_step
        windows = [(number, self._window(number)) for number in range(first, first + self.packs_per_step)]
        return [self._contents(window).pairs[number - self._first(window)] for number, window in windows]

    def length(self, number: int) -> int:
        """Return the row length of pack `number`."""
        return self._phases[self._phase(number)].length

    def passes(self, number: int) -> float:
        """Return the number of epochs before pack `number`."""
        window = self._window(number)
        first = self._first(window)
        return (window + (number - first) / (self._ends[window] - first)) / self._windows_per_pass

    @property
    def steps_per_epoch(self) -> float:
        """Return the number of steps in the first epoch."""
        self._extend(lambda: len(self._ends) >= self._windows_per_pass)
        return self._ends[self._windows_per_pass - 1] / self.packs_per_step

    def set_aside(self) -> Iterator[SetAside]:
        """Return all skipped samples: unusable ones, and those that do not fit the longest rows."""
        budget = self._budget(self._longest)
        for name, index, (too_long, fitted) in zip(self.sources, self._indexes, self._too_long, strict=True):
            for i, reason in sorted(index.faults.items()):
                yield SetAside(name, i, reason)
            for i in np.flatnonzero(index.usable & (index.answer_tokens == 0)).tolist():
                yield SetAside(name, i, "it has no answer to learn from")
            for place, i in enumerate(too_long.tolist()):
                costs = budget.describe(fitted.lengths, place)
                yield SetAside(name, i, f"too long even with its images at min_pixels: {costs}")

    # From a number to its window

    def _window(self, number: int) -> int:
        """Return the window of pack `number`."""
        self._extend(lambda: bool(self._ends) and self._ends[-1] > number)
        return bisect_right(self._ends, number)

    def _first(self, window: int) -> int:
        """Return the first pack of a window."""
        return self._ends[window - 1] if window else 0

    def _extend(self, enough: Callable[[], bool]) -> None:
        """Plan further windows until enough packs are planned."""
        left_over = np.zeros(0, np.int32), np.zeros(0, np.int64)
        while not enough():
            first, window = self._ends[-1] if self._ends else 0, len(self._ends)
            phase = self._phase(first)
            changed = window > 0 and self._windows[-1].phase != phase
            self._windows.append(_Window(phase, self._left_over(window - 1) if changed else left_over))
            last = first + len(self._contents(window).packs)
            if phase + 1 < len(self._phases):  # the rest waits for the rows of the next phase
                last = min(last, self._phases[phase + 1].start)
            self._ends.append(last)

    def _phase(self, number: int) -> int:
        return bisect_right(self._phases, number, key=lambda phase: phase.start) - 1

    def _left_over(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Return samples of those packs of a window for which its phase had no steps left."""
        contents = self._contents(window)
        packs = contents.packs[self._ends[window] - self._first(window) :]
        places = [place for pack in packs for row in pack for place in row]
        return contents.sources[places], contents.positions[places]

    # What a window holds

    def _fill(self, window: int) -> _Contents:
        """Take the samples of a window, drop those that do not fit, pack and shuffle."""
        stretch = self.samples / self._windows_per_pass
        phase, left_over = self._windows[window].phase, self._windows[window].left_over
        taken = self._order.stretch(window * stretch, (window + 1) * stretch)
        sources, positions = (np.concatenate(both) for both in zip(left_over, taken, strict=True))
        length = self._phases[phase].length
        lengths, fits = _gathered(self._fitted[length], sources, positions)
        sources, positions, lengths = sources[fits], positions[fits], of_lengths(lengths, fits)
        rows = best_fit(lengths, self._budget(length))
        np.random.default_rng((self._seed, 2, window)).shuffle(rows)
        packs = [rows[start : start + self.data.rows] for start in range(0, len(rows), self.data.rows)]
        pairs = [int(lengths.pairs[[place for row in pack for place in row]].sum()) for pack in packs]
        return _Contents(sources, positions, packs, pairs)

    def _budget(self, length: int) -> Budget:
        """Return the budget of one row: an equal share of its pack's."""
        patches, pairs = (most and most // self.data.rows for most in (self.data.max_patches, self.data.max_pairs))
        return Budget(length, patches, pairs)

    def _fit(self, rows: Sequence[np.ndarray], length: int) -> list[Fitted]:
        """Return the costs of these samples of each source in rows of this length."""
        budget = self._budget(length)
        return [
            fit(index, own, budget, self._processor, self._media)
            for index, own in zip(self._indexes, rows, strict=True)
        ]


def assign(costs: Sequence[int] | None, packs: int, ranks: int) -> list[list[int]]:
    """Assign a step's packs to ranks: equal numbers, and balanced cost, since all ranks wait for the slowest.

    Packs of similar cost run at the same time, one per rank, and the costliest goes to the least loaded rank.
    costs: of each of the `packs` packs; None if all are equal. Raises RecipeError if ranks do not divide the packs.
    """
    if packs % ranks:
        raise RecipeError(f"data.packs: {packs} packs a step cannot be shared evenly by {ranks} ranks")
    known = [1] * packs if costs is None else costs
    order = sorted(range(packs), key=lambda pack: -known[pack])
    shares: list[list[int]] = [[] for _ in range(ranks)]
    spent = [0] * ranks
    for start in range(0, packs, ranks):
        free = sorted(range(ranks), key=lambda rank: spent[rank])
        for rank, pack in zip(free, order[start : start + ranks], strict=True):
            shares[rank].append(pack)
            spent[rank] += known[pack]
    return shares


def shares_of(data: DataRecipe) -> dict[str, tuple[float | None, float]]:
    """Source -> (weight, None for its number of samples; share of its samples that is used)."""
    if not data.mixture:
        return dict.fromkeys(data.sources, (None, 1.0))
    shares: dict[str, tuple[float | None, float]] = {}
    for written, weight in data.mixture.items():
        name, _, percent = written.partition("%")
        if name in shares:
            raise RecipeError(f"data.mixture: {name} is named twice; give it one weight")
        if data.sources[name].repeat != 1:
            raise RecipeError(
                f"data.sources.{name}.repeat: the mixture decides how often {name} is taken; give a weight or a repeat"
            )
        if weight > 0:
            shares[name] = (weight, int(percent) / 100 if percent else 1.0)
    return shares


def _taken(index: Index, holdout: float, share: float, part: Part, seed: int) -> np.ndarray:
    """Mask of the samples of a source that are used: (n,) bool."""
    taken = index.usable & (index.answer_tokens > 0)
    if part != "all" and holdout > 0:
        held_out = chosen(len(index), holdout, _HELD_OUT)
        taken &= held_out if part == "held_out" else ~held_out
    elif part == "held_out":
        taken[:] = False
    if part == "train" and share < 1:
        taken &= chosen(len(index), share, _SHARE + seed)
    return taken


def _phases(data: DataRecipe, steps: int) -> list[_Phase]:
    """Return pack numbers at which `data.length_at` changes."""
    phases = [_Phase(0, data.length_at(0.0))]
    points = [point for point, _ in data.length] if isinstance(data.length, list) else []
    for point in points:
        step = math.ceil(point * steps)
        step += step / steps < point  # a product that was rounded down
        length = data.length_at(step / steps)
        if length != phases[-1].length and step < steps:
            phases.append(_Phase(step * data.packs, length))
    return phases


def _gathered(fitted: Sequence[Fitted], sources: np.ndarray, positions: np.ndarray) -> tuple[Lengths, np.ndarray]:
    """Concatenate costs of samples of several sources, and whether each fits."""
    costs = {name: np.empty(len(sources), np.int64) for name in COSTS}
    fits = np.empty(len(sources), bool)
    for source, here in enumerate(fitted):
        own = sources == source
        for name in COSTS:
            costs[name][own] = getattr(here.lengths, name)[positions[own]]
        fits[own] = here.fits[positions[own]]
    return Lengths(**costs), fits

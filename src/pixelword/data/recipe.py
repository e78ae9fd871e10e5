"""The data section of a recipe, and the base class of all sections."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationInfo, field_validator, model_validator

from pixelword import plugins, synthetic

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class RecipePart(BaseModel):
    """Strict and frozen: unknown keys are errors. `renamed`: old key -> new one; for one release both are read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    renamed: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _with_new_keys(cls, values: Any) -> Any:
        found = [name for name in cls.renamed if isinstance(values, dict) and name in values]
        for old in found:
            new = cls.renamed[old]
            if new in values:
                raise ValueError(f"{old} is the old name of {new}: give {new} alone")
            print(f"note: recipe field {old!r} is now {new!r}; the old name goes in the next release", file=sys.stderr)
        return {cls.renamed.get(name, name): value for name, value in values.items()} if found else values


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a hint for a misspelt name: the closest known one, else all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


class SourceRecipe(RecipePart):
    """One source of samples in files. See `docs/data.md` for the formats.

    path: a JSON or JSONL file, Parquet files or WebDataset tars; globs and {000..127} ranges name several.
    root: what relative media paths join; the folder of the source when absent.
    repeat: how often one pass over the data takes each of its samples (0.5: every other one).
    limit: take only the first `limit` samples.
    """

    path: str
    root: Path | None = None
    format: Literal["auto", "json", "jsonl", "webdataset", "parquet"] = "auto"
    repeat: Positive = 1.0
    limit: PositiveInt | None = None


class ExpectRecipe(RecipePart):
    """An average sample, for a dry run without data. Training does not use it.

    tokens: of a sample, visual ones among them. spread: mean square of it over the squared mean, 1 where all are alike.
    visual, answer: shares of the tokens that are visual, that have a loss. images: per sample, frames counted.
    fill: share of a pack's places that are not padding.
    """

    renamed = {"pictures": "images"}

    tokens: Positive = 512
    spread: Annotated[float, Field(ge=1)] = 1.5
    visual: Fraction = 0.7
    answer: Fraction = 0.2
    images: Annotated[float, Field(ge=0)] = 1.0
    fill: Fraction = 0.97


def drawn_names(tasks: str) -> tuple[str, ...]:
    """Return the names allowed in a mixture of synthetic tasks. Raises InputError if no installed package has them."""
    if tasks == "nano":
        return synthetic.KINDS
    names: tuple[str, ...] = plugins.load(plugins.TASKS, tasks, ("nano",)).NAMES
    return names


class DataRecipe(RecipePart):
    """Data of a stage: samples in files (`sources`) or, without any, synthetic tasks.

    mixture: weight of every source (of every kind or family of drawn tasks), by samples; `name%50` takes half of a
        source's samples. Without it every source has the weight of its samples, repeats counted.
    tasks: whose drawn tasks: nano's kinds, or mini's families (pixelword-lab), which are made of asset packs.
    assets: folder of these packs; $PIXELWORD_ASSETS or `~/.cache/pixelword/assets` when absent.
    turns: drawn tasks only: at most this many questions about one image.
    level, easier: nano's tasks only. `level`, easy (0) to hard (1): a number, or [fraction of the steps, level] points,
        joined.
    levels: kind -> its own `level`, as such points; the kind is not drawn before the first of them.
    rows, length: shape of a pack in tokens. `length` may be [fraction of the steps, length] points, each in force until
        the next (the progressive context of mid-training).
    packs: packs in one step, over all ranks and micro-batches: the global batch.
    max_patches, max_pairs: further budgets of a pack: 16-pixel patches, and visible (query, key) pairs.
    min_pixels, max_pixels, fps, max_frames: how media are read; the processor's own settings when absent.
    holdout: share of a source's samples that training never sees and validation takes.
    timeout: seconds that reading one sample may take. max_bad: share of bad samples past which training stops.
    index: folder of the sources' indexes; `~/.cache/pixelword/index` when absent.
    expect: what samples are like, for a dry run without the data.
    """

    sources: dict[str, SourceRecipe] = {}
    tasks: str = "nano"
    assets: Path | None = None
    mixture: dict[str, Annotated[float, Field(ge=0)]] = {}
    level: Fraction | list[tuple[Fraction, Fraction]] = 1.0
    levels: dict[str, list[tuple[Fraction, Fraction]]] = {}
    easier: Fraction = 0.0  # share of samples drawn at a level anywhere below `level`, so that easy ones never end
    turns: PositiveInt = 1  # at most this many questions about one image
    rows: PositiveInt = 1
    length: PositiveInt | list[tuple[Fraction, PositiveInt]]
    packs: PositiveInt = 1
    max_patches: PositiveInt | None = None
    max_pairs: PositiveInt | None = None
    min_pixels: PositiveInt | None = None
    max_pixels: PositiveInt | None = None
    fps: Positive | None = None
    max_frames: PositiveInt | None = None
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    workers: Annotated[int, Field(ge=0)] = 1
    timeout: Positive = 60.0
    max_bad: Fraction = 0.01
    index: Path | None = None
    expect: ExpectRecipe = ExpectRecipe()

    @field_validator("tasks")
    @classmethod
    def _drawn_here(cls, tasks: str) -> str:
        drawn_names(tasks)
        return tasks

    @field_validator("mixture")
    @classmethod
    def _known_names(cls, mixture: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        sources = info.data.get("sources", {})
        if not sources and "tasks" not in info.data:  # that fault is reported; there are no names to compare with
            return mixture
        known = tuple(sources) or drawn_names(info.data.get("tasks", "nano"))
        for name in mixture:
            plain, percent, share = name.partition("%")
            if plain not in known:
                raise ValueError(f"unknown {'source' if sources else 'kind'} {plain!r}{nearest(plain, known)}")
            if percent and not (sources and share.isdecimal() and 0 < int(share) <= 100):
                raise ValueError(f"{name!r}: write a share of a source as {plain}%50, 1 to 100")
        if mixture and sum(mixture.values()) <= 0:
            raise ValueError("every weight is zero")
        return mixture

    @model_validator(mode="after")
    def _reads_something(self) -> DataRecipe:
        if not self.mixture and not self.sources:
            raise ValueError("give sources (files), or a mixture of drawn tasks")
        return self

    @model_validator(mode="after")
    def _levels_are_drawn(self) -> DataRecipe:
        for kind in self.levels:
            if self.sources or self.tasks != "nano" or kind not in self.mixture:
                raise ValueError(
                    f"levels: {kind!r} is not a drawn kind of the mixture{nearest(kind, tuple(self.mixture))}"
                )
        if self.levels and not self.mixture_at(0.0):
            raise ValueError("levels: no kind of the mixture is drawn at the first step; let one begin at fraction 0")
        return self

    @field_validator("level", "length", "levels")
    @classmethod
    def _ordered(cls, given: Any) -> Any:
        for points in given.values() if isinstance(given, dict) else [given]:
            if isinstance(points, list) and (not points or [x for x, _ in points] != sorted(x for x, _ in points)):
                raise ValueError("points must be given in order of their fraction")
        return given

    def length_at(self, fraction: float) -> int:
        """Return the row length at a fraction of the stage's steps: that of the last point reached."""
        if not isinstance(self.length, list):
            return self.length
        reached = [length for point, length in self.length if point <= fraction]
        return reached[-1] if reached else self.length[0][1]

    @property
    def longest(self) -> int:
        """Return the longest row of the stage."""
        return max(length for _, length in self.length) if isinstance(self.length, list) else self.length

    def mixture_at(self, fraction: float) -> dict[str, float]:
        """Return the weights of the kinds in use at a fraction of the stage's steps."""
        return {
            kind: w
            for kind, w in self.mixture.items()
            if kind not in self.levels or self.levels[kind][0][0] <= fraction
        }

    def level_at(self, fraction: float, kind: str = "") -> float:
        """Return the level of a kind at a fraction of the stage's steps, constant outside its points."""
        points = self.levels.get(kind, self.level)
        if not isinstance(points, list):
            return points
        before = points[0]
        for point in points:
            if fraction < point[0]:
                share = (fraction - before[0]) / (point[0] - before[0]) if point[0] > before[0] else 1.0
                return before[1] + max(share, 0.0) * (point[1] - before[1])
            before = point
        return before[1]

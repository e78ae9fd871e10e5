"""From ablations to what has to be trained, each thing once: a stage is named by everything that it depends on.

So variants share the stages that they have in common, within an ablation and across them; and a recipe that is changed
retrains what the change touches, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pixelword.errors import RecipeError
from pixelword.training.recipe import Recipe
from pixelword.training.recipe_file import load_recipe
from pixelword_lab.ablations.recipe import Ablation, Growth, Network, Variant

#: Seeds of one stage and of the next do not meet.
_APART = 1000
_DIGITS = 10  # hexadecimal digits that name a stage or a measurement


@dataclass(frozen=True)
class Job:
    """One stage of training.

    recipe: with its seed, its folder and what it begins with. before: the stage before. growth: what is done to that
        one's model first. language: whether this is a language model that will be grown from.
    """

    recipe: Recipe
    network: Network
    before: Job | None = None
    growth: Growth | None = None
    language: bool = False

    @property
    def folder(self) -> Path:
        return self.recipe.out

    @property
    def weights(self) -> Path:
        """What it leaves."""
        return self.folder / "final" / "model.safetensors"

    @property
    def facts(self) -> Path:
        """Its seconds and parameters, written last: there when it is done."""
        return self.folder / "facts.json"

    @property
    def chain(self) -> tuple[Job, ...]:
        """All stages up to this one."""
        return (*self.before.chain, self) if self.before else (self,)


@dataclass(frozen=True)
class Cell:
    """One variant with one seed."""

    ablation: Ablation
    variant: Variant
    seed: int
    job: Job

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of drawn tasks that it is measured on."""
        mixture = self.job.recipe.data.mixture
        return tuple(self.ablation.kinds or (kind for kind, weight in mixture.items() if weight > 0))

    @cached_property
    def result(self) -> Path:
        """Its figures; there when they are."""
        name = _digest({"kinds": self.kinds, "packs": self.ablation.packs})
        return self.job.folder / f"result-{name}.json"

    def __str__(self) -> str:
        return f"{self.ablation.name}: {self.variant.name}, seed {self.seed}"


def cells(ablations: Sequence[Ablation], out: Path) -> list[Cell]:
    """All cells, in the order to run them: variants marked `later` last, and one seed of an ablation's variants
    before the next. Raises RecipeError."""
    found = [
        ((variant.later, number, place), Cell(ablation, variant, seed, _job(ablation, variant, seed, out)))
        for number, ablation in enumerate(ablations)
        for place, seed in enumerate(ablation.seeds)
        for variant in ablation.variants
    ]
    kinds: dict[int, tuple[str, ...]] = {}  # by ablation
    for (_, number, _), cell in found:
        if kinds.setdefault(number, cell.kinds) != cell.kinds:
            raise RecipeError(f"{cell}: measured on other kinds than the variants before it: name them in `kinds`")
        recipe, curve = cell.job.recipe, cell.ablation.curve
        if curve and (recipe.validation is None or not recipe.data.mixture.get(curve)):
            raise RecipeError(
                f"{cell}: the curve of {curve} is that of held-out packs as {recipe.stage} goes: give that stage a "
                f"`validation`, and {curve} a weight in its mixture"
            )
    return [cell for _, cell in sorted(found, key=lambda item: item[0])]


def _job(ablation: Ablation, variant: Variant, seed: int, out: Path) -> Job:
    """The last stage of a variant, with all before it."""
    growth = variant.grow or ablation.grow
    paths = ablation.stages[: variant.stages]
    if growth is not None and len(paths) < 2:
        raise RecipeError(f"{ablation.name}: {variant.name}: grow stands between two stages, and there is one")
    if not variant.network.plain and len(paths) > 1:  # what it leaves is not a checkpoint that a stage begins with
        raise RecipeError(f"{ablation.name}: {variant.name}: another network has one stage; give it `stages: 1`")
    job: Job | None = None
    for number, path in enumerate(paths):
        grown = growth if number == 1 else None
        language = number == 0 and growth is not None
        overrides = (*ablation.set, *variant.set)
        job = _stage(path, overrides, variant.network, seed, _Place(job, grown, language), out)
    assert job is not None
    return job


@dataclass(frozen=True)
class _Place:
    """Where in its chain a stage stands; see `Job`."""

    before: Job | None
    growth: Growth | None
    language: bool


def _stage(path: Path, overrides: Sequence[str], network: Network, seed: int, place: _Place, out: Path) -> Job:
    before, growth = place.before, place.growth
    base = load_recipe(path, overrides)
    extra = [f"seed={base.seed * _APART + seed}"]
    start = base.model.from_  # of a first stage, as the recipe names it
    if before is not None:
        start = Path(before.folder.name) / ("final" if growth is None else f"grown-{_digest(_plain(growth))}")
        extra += [f"model.from={out / start}", "model.config=null", "tokenizer=null"]
    recipe = load_recipe(path, (*overrides, *extra))
    if recipe.precision == "auto" and recipe.device == "cpu":  # machines that compute in different types share no stage
        from pixelword.training.parallel import World, with_precision

        recipe = with_precision(recipe, World())
    depends = recipe.model_dump(mode="json", by_alias=True, exclude={"out": True, "model": {"from_"}})
    own = {"start": start, "network": _plain(network), "language": place.language}
    folder = out / f"{recipe.stage}-{_digest({'recipe': depends, **own})}"
    return Job(recipe.model_copy(update={"out": folder}), network, before, growth, place.language)


def _plain(part: Growth | Network) -> dict[str, object]:
    return part.model_dump(mode="json")


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]


def jobs_of(found: Sequence[Cell]) -> Iterator[Job]:
    """Every stage once, in the order of their first use."""
    seen: set[Path] = set()
    for cell in found:
        for job in cell.job.chain:
            if job.folder not in seen:
                seen.add(job.folder)
                yield job

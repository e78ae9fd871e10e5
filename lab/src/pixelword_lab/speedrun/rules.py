"""Tracks, and what a recipe must keep to so that its row counts.

That the network is NEO-ov is what the parity tests check; everything that a recipe or an exam shows is checked here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pixelword.errors import RecipeError
from pixelword.training.recipe import Recipe
from pixelword.training.recipe_file import load_recipe

#: Seeds of one stage and of the next do not meet.
_APART = 1000
#: With a wrong image, how far above chance the lower end of a share's interval may be.
SLACK = 0.05


@dataclass(frozen=True)
class Track:
    """What a run is measured by.

    Attributes:
        device: of training.
        clock: the figure that ranks records, a field of a row.
        mean: of the exam's report, the score. target: the share of it to reach.
        read: the share of words to read exactly as well; None where reading does not count.
    """

    name: str
    device: str
    clock: str
    mean: str
    target: float
    read: float | None = None


TRACKS = {
    track.name: track
    for track in (
        Track("s1", "cpu", "processor_seconds", "mean of twelve", 0.82),
        Track("s2", "cpu", "processor_seconds", "mean of all", 0.90, 0.60),
        Track("g", "cuda", "seconds", "mean of all", 0.90, 0.60),
    )
}


@dataclass(frozen=True)
class Stage:
    """One stage of a run: its name (the file's, without its ending) and its recipe."""

    name: str
    recipe: Recipe

    def resolved(self, folder: Path, seed: int, before: Path | None) -> Recipe:
        """The recipe as it runs.

        Args:
            folder: of the run of this seed; the stage is in a folder of its name there.
            seed: of the run.
            before: the checkpoint that the stage before left.
        """
        model = self.recipe.model if before is None else self.recipe.model.model_copy(update={"from_": before})
        changes = {"out": folder / self.name, "seed": self.recipe.seed * _APART + seed, "model": model}
        return self.recipe.model_copy(update=changes)


def recipe_files(paths: Sequence[Path]) -> list[Path]:
    """The stages' files in order: those given, and of a folder all YAML files by name. Raises RecipeError."""
    found: list[Path] = []
    for path in paths:
        inside = [path] if path.is_file() else sorted(path.glob("*.yaml"))
        if not inside:
            raise RecipeError(f"{path}: no recipe there: name a stage's YAML file, or a folder of them, with --recipe")
        found += inside
    names = [path.stem for path in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RecipeError(f"two stages are named {twice[0]}: stages are named by their files, so rename one")
    return found


def load_stages(paths: Sequence[Path], track: Track, overrides: Sequence[str] = ()) -> list[Stage]:
    """The stages of a run, checked against the rules.

    Args:
        paths: files in order, or folders of them.
        overrides: "a.b=value", of every stage.

    Raises:
        RecipeError: a recipe cannot be read, or breaks a rule.
    """
    stages: list[Stage] = []
    settings = (f"device={track.device}", "max_minutes=null")  # steps end a stage: the same run on every machine
    for path in recipe_files(paths):
        recipe = load_recipe(path, (*overrides, *settings))
        _check(path, recipe, stages[-1].recipe if stages else None, track)
        stages.append(Stage(path.stem, recipe))
    return stages


def _check(path: Path, recipe: Recipe, before: Recipe | None, track: Track) -> None:
    start = recipe.model.from_
    if before is None and start is not None:
        raise RecipeError(
            f"{path}: model.from: a speedrun starts from random weights, not from {start}: give model.config"
        )
    if before is not None and start != before.out / "final":
        raise RecipeError(
            f"{path}: model.from: the stage before ends in {before.out / 'final'}, and this one starts from "
            f"{start or 'random weights'}: name that folder"
        )
    foreign = {
        "data.sources": recipe.data.sources,
        "data.tasks": recipe.data.tasks != "nano",
        "distill": recipe.distill,
        "gate": recipe.gate,
    }
    if broken := [name for name, value in foreign.items() if value]:
        raise RecipeError(
            f"{path}: {broken[0]}: a speedrun learns from nano's drawn tasks alone, without data or models from "
            "elsewhere: leave it out"
        )
    if track.device == "cpu" and recipe.threads not in (1, 2):
        raise RecipeError(f"{path}: threads: track {track.name} has two processor cores: set threads to 1 or 2")


def digest(stages: Sequence[Stage]) -> str:
    """Sixteen digits that change with anything in a recipe, except for its path."""
    content = [
        [stage.name, stage.recipe.model_dump(mode="json", by_alias=True, exclude={"out": True, "model": {"from_"}})]
        for stage in stages
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def as_yaml(recipe: Recipe) -> str:
    """A recipe as a file that `pixelword train` reads."""
    values = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def unseen(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Kinds with closed answers that another's image leaves above chance: answers that do not come from the image.

    Args:
        tests: of the exam's report; without controls, a kind is not judged.
    """
    return [
        test["name"]
        for test in tests
        if (whole := test["all"])["chance"] and whole["wrong"] and whole["wrong"]["low"] > whole["chance"] + SLACK
    ]

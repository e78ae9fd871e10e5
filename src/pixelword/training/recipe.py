"""A stage as one YAML file, checked before anything heavy starts. See `recipes/nano/` for commented examples.

Every fault is one `RecipeError` with file, line, field and, for an unknown key, the nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from pixelword.errors import RecipeError
from pixelword.training.stages import ROLES

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ModelRecipe(_Part):
    """Where the network comes from: a configuration (random weights) or a checkpoint folder (a stage before)."""

    config: dict[str, Any] | None = None
    from_: Path | None = Field(default=None, alias="from")

    @model_validator(mode="after")
    def _one_source(self) -> ModelRecipe:
        if (self.config is None) == (self.from_ is None):
            raise ValueError("give either model.config (start from nothing) or model.from (a checkpoint folder)")
        return self


class DataRecipe(_Part):
    """What is drawn. `level`, easy (0) to hard (1): a number, or [fraction of the steps, level] points, joined."""

    mixture: dict[str, Annotated[float, Field(ge=0)]]
    level: Fraction | list[tuple[Fraction, Fraction]] = 1.0
    easier: Fraction = 0.0  # share of samples drawn at a level anywhere below `level`, so that easy ones never end
    turns: PositiveInt = 1  # at most this many questions about one picture
    rows: PositiveInt
    length: PositiveInt
    workers: Annotated[int, Field(ge=0)] = 1

    @field_validator("mixture")
    @classmethod
    def _known_kinds(cls, mixture: dict[str, float]) -> dict[str, float]:
        from pixelword.tasks import nano

        for kind in mixture:
            if kind not in nano.KINDS:
                raise ValueError(f"unknown kind {kind!r}{_nearest(kind, nano.KINDS)}")
        if sum(mixture.values()) <= 0:
            raise ValueError("every weight is zero")
        return mixture

    @field_validator("level")
    @classmethod
    def _ordered(cls, level: float | list[tuple[float, float]]) -> float | list[tuple[float, float]]:
        if isinstance(level, list) and (not level or [x for x, _ in level] != sorted(x for x, _ in level)):
            raise ValueError("points must be given in order of their fraction")
        return level

    def level_at(self, fraction: float) -> float:
        """Level at a fraction of the stage's steps; flat before the first point and after the last."""
        if not isinstance(self.level, list):
            return self.level
        before = self.level[0]
        for point in self.level:
            if fraction < point[0]:
                share = (fraction - before[0]) / (point[0] - before[0]) if point[0] > before[0] else 1.0
                return before[1] + max(share, 0.0) * (point[1] - before[1])
            before = point
        return before[1]


class OptimizerRecipe(_Part):
    name: Literal["adamw", "muon"] = "adamw"
    lr: Positive
    muon_lr: Positive = 1e-3  # peak rate of the layers' matrices under muon; the rest has `lr`
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Positive = 1.0
    groups: dict[str, Positive] = {}  # role -> factor on the rate

    @field_validator("groups")
    @classmethod
    def _known_roles(cls, groups: dict[str, float]) -> dict[str, float]:
        _check_roles(groups, ROLES)
        return groups


class ScheduleRecipe(_Part):
    kind: Literal["cosine", "wsd", "constant"]
    warmup: Annotated[int, Field(ge=0)] = 0  # steps
    floor: Fraction = 0.0  # of the peak
    decay: Annotated[float, Field(gt=0, le=1)] = 0.2  # wsd: share of the stage spent going down


class ValidationRecipe(_Part):
    every: PositiveInt
    packs: PositiveInt = 1  # held-out packs of every kind, the same ones each time
    level: Fraction = 1.0


class CheckpointRecipe(_Part):
    every: PositiveInt
    keep: PositiveInt = 2


class Recipe(_Part):
    """One stage. `max_minutes` ends it by the clock: its rate and end follow whichever is further, steps or time.

    Data follows the steps alone, so that pack k is the same on a slow machine.
    """

    stage: str
    out: Path
    model: ModelRecipe
    tokenizer: str | None = None  # with model.config: a folder with a tokenizer, or the name of embedded weights
    trainable: list[str] = ["all"]
    data: DataRecipe
    loss_weight: Literal["token", "square", "sample"] = "square"
    optimizer: OptimizerRecipe
    schedule: ScheduleRecipe
    steps: PositiveInt
    max_minutes: Positive | None = None
    attention: Literal["eager", "sdpa"] = "sdpa"  # eager is faster for short rows on a CPU in bf16, compiled
    precision: Literal["bf16", "fp32"] = "bf16"
    export: Literal["bf16", "fp32"] = "bf16"
    compile: bool = False
    threads: PositiveInt | None = None  # CPU threads of the training process; torch's default when absent
    checkpoint: CheckpointRecipe
    validation: ValidationRecipe | None = None
    log_every: PositiveInt = 10
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _has_tokenizer(self) -> Recipe:
        if self.model.config is not None and self.tokenizer is None:
            raise ValueError("a start from model.config needs a tokenizer; a stage after another has that one's")
        return self

    @field_validator("trainable")
    @classmethod
    def _known_trainable(cls, trainable: list[str]) -> list[str]:
        _check_roles(trainable, (*ROLES, "all"))
        if not trainable:
            raise ValueError("nothing would be trained")
        return trainable


def _check_roles(names: Sequence[str] | dict[str, float], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"unknown part {name!r}{_nearest(name, known)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe; `overrides` are "a.b=value" strings, the value in YAML. Raises RecipeError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error}") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of fields (stage, model, data, ...)")
    lines = dict(_lines(root, path))
    for override in overrides:
        _override(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(_explain(error, path, lines, overrides)) from error


def _lines(
    node: yaml.Node | None, path: Path, above: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """(location, line) of every key and item below `node`. Raises RecipeError for a key given twice."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise RecipeError(f"{path}:{line}: {'.'.join(map(str, (*above, key.value)))} is given twice")
            seen.add(key.value)
            yield (*above, key.value), line
            yield from _lines(value, path, (*above, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield (*above, position), item.start_mark.line + 1
            yield from _lines(item, path, (*above, position))


def _override(values: dict[str, Any], override: str) -> None:
    """Put one "a.b=value" into `values`. Raises RecipeError when it is not of that form."""
    field, equals, text = override.partition("=")
    if not equals or not field.strip():
        raise RecipeError(f"--set {override}: write it as field=value, for example --set optimizer.lr=2e-4")
    *parents, last = field.strip().split(".")
    place = values
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise RecipeError(f"--set {override}: {parent} has no fields")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override}: the value is not YAML") from error


def _explain(
    error: ValidationError, path: Path, lines: dict[tuple[str | int, ...], int], overrides: Sequence[str]
) -> str:
    """The first fault as one line: where (file:line, or the override), which field, what is wrong."""
    fault = error.errors()[0]
    # pydantic adds the tried union member to the location; only what the file can hold is kept
    location = tuple(part for part in fault["loc"])
    known = location
    while known and known not in lines:
        known = known[:-1]
    field = ".".join(map(str, known if fault["type"] not in ("missing", "extra_forbidden") else location))
    where = f"{path}:{lines[known]}" if known else str(path)
    if any(override.partition("=")[0].strip() == field for override in overrides):
        where = f"--set {field}"
    more = error.error_count() - 1
    rest = f" (and {more} more)" if more else ""
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown field {field!r}{_nearest(str(location[-1]), _fields(location[:-1]))}{rest}"
    if fault["type"] == "missing":
        return f"{where}: missing field {field!r}{rest}"
    return f"{where}: {field}: {fault['msg'].removeprefix('Value error, ')}{rest}"


def _fields(location: Sequence[str | int]) -> list[str]:
    """Names of the fields that the part of a recipe at `location` has."""
    part: Any = Recipe
    for name in location:
        fields = part.model_fields if isinstance(part, type) and issubclass(part, BaseModel) else {}
        annotation = fields[name].annotation if name in fields else None
        part = next((a for a in (annotation, *getattr(annotation, "__args__", ())) if _is_part(a)), None)
    return [field.alias or name for name, field in part.model_fields.items()] if _is_part(part) else []


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)

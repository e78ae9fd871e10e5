"""A recipe's YAML file -> a checked `Recipe`, before anything heavy starts.

Every fault is one `RecipeError` with file, line, field and, for an unknown key, the nearest known one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pixelword.data.recipe import nearest
from pixelword.errors import RecipeError, reason
from pixelword.training.recipe import Recipe


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe; `overrides` are "a.b=value" strings with YAML values. Raises RecipeError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a YAML file; give a recipe, such as recipes/nano/sft.yaml") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe: {reason(error)}") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(f"{where}: not a YAML file: {getattr(error, 'problem', None) or error}") from error
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
    """Yield (location, line) of every key and item below `node`. Raises RecipeError for duplicate keys."""
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
    """Apply one "a.b=value" to `values`. Raises RecipeError if malformed."""
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
    """Format the first fault as one line: location (file:line, or the override), field, problem."""
    # a mistyped field is missing under its right name, too: what is written there is the one to mend
    fault = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
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
        return f"{where}: unknown field {field!r}{nearest(str(location[-1]), _fields(location[:-1]))}{rest}"
    if fault["type"] == "missing":
        return f"{where}: missing field {field!r}{rest}"
    return f"{where}: {field}: {fault['msg'].removeprefix('Value error, ')}{rest}"


def _fields(location: Sequence[str | int]) -> list[str]:
    """Return the field names of the recipe section at `location`."""
    part: Any = Recipe
    for name in location:
        fields = part.model_fields if isinstance(part, type) and issubclass(part, BaseModel) else {}
        annotation = fields[name].annotation if name in fields else None
        part = next((a for a in (annotation, *getattr(annotation, "__args__", ())) if _is_part(a)), None)
    return [field.alias or name for name, field in part.model_fields.items()] if _is_part(part) else []


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)

"""Which fields a request may have: what is not acted on is accepted where it changes nothing, and else refused by name.

`fields.yaml` has the fields that are not acted on, the models of `protocol` those that are; both together are the table
in docs/serving.md and the description at `/openapi.json`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

#: Place -> field -> a type whose values all change nothing, or a list of values that do not.
PASSIVE: dict[str, dict[str, str | list[Any]]] = yaml.safe_load(Path(__file__).with_name("fields.yaml").read_text())
_TYPES: dict[str, type | tuple[type, ...]] = {"boolean": bool, "number": (int, float), "string": str, "object": dict}


def is_accepted(value: Any, accepts: str | list[Any]) -> bool:
    """Whether a value changes nothing. null is a field that was left out."""
    if value is None:
        return True
    if isinstance(accepts, str):
        return isinstance(value, _TYPES[accepts]) and (accepts == "boolean" or not isinstance(value, bool))
    return any(value == accept and isinstance(value, bool) == isinstance(accept, bool) for accept in accepts)


def problem(field: str, words: str) -> PydanticCustomError:
    """What a validator of a whole request raises about one of its fields."""
    return PydanticCustomError("field", "{words}", {"words": words, "field": field})


def refusal(field: str) -> str:
    """Why a field that a request may not have is refused."""
    known = [fields[field] for fields in PASSIVE.values() if field in fields]
    if not known:
        near = difflib.get_close_matches(field, _acted_on(), 1)
        return "no such field" + (f"; did you mean {near[0]}?" if near else "; leave it out")
    values = known[0]
    if isinstance(values, str):
        return f"it must be of type {values}"
    if not values:
        return "not supported by this server; leave it out"
    return f"only {' or '.join(map(_json, values))} is supported by this server; leave it out"


def named_field(message: str) -> str | None:
    """The field with which a message begins, if it does."""
    found = re.match(r"([a-z_]+)(?=: | is )", message)
    return found.group() if found and found.group() in _acted_on() else None


def _json(value: Any) -> str:
    return json.dumps(value)


def _acted_on() -> set[str]:
    """Names of all fields that some request may have and that are acted on."""
    found, models = set(), [Body]
    while models:
        model = models.pop()
        found |= set(model.model_fields)
        models += model.__subclasses__()
    return found


def _describe(schema: dict[str, Any], model: type[Body]) -> None:
    """Put the fields that are not acted on into the JSON schema of a model."""
    for name, accepts in PASSIVE.get(model.place, {}).items():
        values = {"type": accepts} if isinstance(accepts, str) else {"enum": [*accepts, None]}
        schema.setdefault("properties", {}).setdefault(name, {"description": "Accepted and ignored."} | values)


class Body(BaseModel):
    """A request, or a part of it. place: where `fields.yaml` has its fields."""

    # strict: "5" is not 5, and true is not 1
    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_describe)
    place: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _without_passive(cls, body: Any) -> Any:
        """Drop what is accepted and changes nothing; what stays and is not a field of the model is refused.

        64.0 becomes 64, as some clients write it.
        """
        if not isinstance(body, Mapping):
            return body
        passive = PASSIVE.get(cls.place, {})
        return {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in body.items()
            if name in cls.model_fields or name not in passive or not is_accepted(value, passive[name])
        }

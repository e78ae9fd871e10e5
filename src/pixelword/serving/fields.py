"""Request fields: unimplemented ones are accepted if they have no effect, and otherwise rejected by name.

`fields.yaml` has the unimplemented fields, the models of `protocol*.py` the implemented ones; together they make the
table in docs/serving.md and the schema at `/openapi.json`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

#: Place -> field -> a type whose values all change nothing, or a list of values that do not.
PASSIVE: dict[str, dict[str, str | list[Any]]] = yaml.safe_load(Path(__file__).with_name("fields.yaml").read_text())
_JSON_TYPES = {"list": "array"}
_MOST_LEVELS = 100  # of objects and lists in each other
_TYPES: dict[str, type | tuple[type, ...]] = {
    "boolean": bool,
    "number": (int, float),
    "string": str,
    "object": dict,
    "list": list,
    "value": object,
}


def is_accepted(value: Any, accepts: str | list[Any]) -> bool:
    """Whether a value has no effect; null is the same as leaving the field out."""
    if value is None:
        return True
    if isinstance(accepts, str):
        return isinstance(value, _TYPES[accepts]) and (accepts in ("boolean", "value") or not isinstance(value, bool))
    return any(value == accept and isinstance(value, bool) == isinstance(accept, bool) for accept in accepts)


def problem(field: str, words: str) -> PydanticCustomError:
    """Error about one field, raised by a validator of a whole request."""
    return PydanticCustomError("field", "{words}", {"words": words, "field": field})


#: Names that vLLM once had, and those of `structured_outputs` itself -> what they are now.
_MOVED = {
    f"{before}{form}": f'use structured_outputs: {{"{form}": ...}}'
    for form in ("json", "regex", "choice", "grammar", "json_object")
    for before in ("guided_", "")
}


def refusal(field: str) -> str:
    """Return why a field is rejected."""
    if field in _MOVED:
        return f"no such field; {_MOVED[field]}"
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
    """Return the field that a message starts with, if any."""
    found = re.match(r"([a-z_]+)(?=: | is |[.,[])", message)
    return found.group() if found and found.group() in _acted_on() else None


def _json(value: Any) -> str:
    return json.dumps(value)


def _acted_on() -> set[str]:
    """Return the names of all implemented fields, over all requests."""
    found, models = set(), [Body]
    while models:
        model = models.pop()
        found |= set(model.model_fields)
        models += model.__subclasses__()
    return found


def _describe(schema: dict[str, Any], model: type[Body]) -> None:
    """Add the unimplemented fields to the JSON schema of a model."""
    for name, accepts in PASSIVE.get(model.place, {}).items():
        values = {"type": _JSON_TYPES.get(accepts, accepts)} if isinstance(accepts, str) else {"enum": [*accepts, None]}
        values = {} if accepts == "value" else values
        schema.setdefault("properties", {}).setdefault(name, {"description": "Accepted and ignored."} | values)


def _is_text(value: str) -> str:
    """JSON can spell half a character (a lone surrogate), which is not text and cannot be written anywhere."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a lone surrogate is not a character; send valid Unicode") from error
    return value


Text = Annotated[str, AfterValidator(_is_text)]
Words = Annotated[Text, Field(min_length=1)]
#: What names a tool call; OpenAI's have at most 64 characters, Anthropic's about 30.
CallID = Annotated[Text, Field(min_length=1, max_length=256)]


def _is_json(value: dict[str, Any]) -> dict[str, Any]:
    """What Python reads as JSON can be more than JSON is, and deeper than what reads it here."""
    level: list[Any] = [value]
    for _ in range(_MOST_LEVELS):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [part for parts in inner for part in parts]
    if level:
        raise ValueError(f"more than {_MOST_LEVELS} levels of objects and lists; nest fewer")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError("NaN and Infinity are not JSON; send finite numbers") from error
    _is_text(text)
    return value


#: Any JSON object.
JSONObject = Annotated[dict[str, Any], AfterValidator(_is_json)]


class Body(BaseModel):
    """A request, or a part of it. place: where `fields.yaml` has its fields."""

    # strict: "5" is not 5, and true is not 1
    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_describe)
    place: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _without_passive(cls, body: Any) -> Any:
        """Drop accepted fields without effect; reject other unknown fields.

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

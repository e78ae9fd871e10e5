"""Where a schema or a grammar is wrong, in a line."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

#: Keywords of JSON Schema whose value is a schema, a list of schemas, or schemas by name.
_SINGLE = ("items", "additionalProperties", "additionalItems", "not", "if", "then", "else", "contains", "propertyNames")
_LISTS = ("prefixItems", "items", "anyOf", "allOf", "oneOf")
_NAMED = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")


def schema_problem(schema: Any, deadline: float) -> tuple[str, str]:
    """(place, what is wrong) of a schema that does not compile: the innermost part that fails by itself.

    Each part is compiled with all definitions, which takes long where there are many. It recurses as deeply as they
    lead to each other: see `deep_stack`.

    Args:
        deadline: Of `time.monotonic()`, at which the search ends with the place so far.

    Returns:
        The place, as `.properties.age`, or "" for the whole; and what is wrong.
    """
    whole = _error(schema)
    definitions = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    place, why = "", whole
    found: Any = schema
    while found is not None:
        inner, found = found, None
        for step, part in _parts(inner):
            if time.monotonic() > deadline:
                break
            error = _error({**definitions, **part} if isinstance(part, Mapping) else part)
            # a part with a pointer into what is left out here says nothing
            if error and (not error.startswith("Pointer ") or whole.startswith("Pointer ")):
                place, why, found = place + step, error, part
                break
    return place, _reason(why) or " ".join(why.split())


def _error(schema: Any) -> str:
    from llguidance import LLMatcher

    if not isinstance(schema, Mapping | bool):
        return f"a schema is an object, not {json.dumps(schema)[:40]}"
    grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema))
    failed, messages = LLMatcher.validate_grammar_with_warnings(grammar)
    return messages[0] if failed else ""


def _parts(schema: Any) -> Iterator[tuple[str, Any]]:
    """The schemas right within one, with their places; definitions first, since others point to them."""
    if not isinstance(schema, Mapping):
        return
    for name in _NAMED:
        if isinstance(schema.get(name), Mapping):
            yield from ((f".{name}{_step(key)}", part) for key, part in schema[name].items())
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            yield from ((f".{name}[{place}]", part) for place, part in enumerate(schema[name]))
    for name in _SINGLE:
        if isinstance(schema.get(name), Mapping):
            yield f".{name}", schema[name]


def _step(key: str) -> str:
    return f".{key}" if re.fullmatch(r"[\w$-]+", key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def grammar_problem(message: str) -> tuple[str, str]:
    """(place, what is wrong) of a grammar or a regular expression, from llguidance's many lines."""
    first = next((line for line in message.splitlines() if line.strip()), "it cannot be used")
    found = re.match(r"(?:at )?(\d+)\((\d+)\): (.*)", first)
    if found is None:
        return "", first
    line, column, why = found.groups()
    reason = _reason(message)
    return (f", line {line}, column {column}", why) if reason is None else ("", reason)


def _reason(message: str) -> str | None:
    """What is wrong with a regular expression."""
    found = re.search(r"^error: (.*)$", message, re.MULTILINE)
    return None if found is None else f"regular expression: {found[1]}"

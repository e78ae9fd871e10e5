"""What form an answer must have: a JSON schema, any JSON object, one of some texts, a regular expression, a grammar.

Names are vLLM's: https://docs.vllm.ai/en/latest/features/structured_outputs.html. `grammar.py` does it.
"""

from __future__ import annotations

import json as json_
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pixelword.errors import InputError
from pixelword.generation.tool_grammar import ToolCalls

_FORMS = ("json", "json_object", "choice", "regex", "grammar", "tools")


@dataclass(frozen=True)
class StructuredOutputs:
    """The form of an answer: exactly one of the first six.

    Attributes:
        json: A JSON schema, as a mapping or as JSON; kept as JSON. Keys come in the order of `properties`.
        json_object: Any JSON object.
        choice: The answer is one of these texts.
        regex: The whole answer matches this regular expression (Rust's syntax: no look-around).
        grammar: A context-free grammar, in Lark's or llama.cpp's (GBNF) notation.
        tools: Calls of tools, as a chat's `tools` are rendered and called.
        place: What errors call it.
    """

    json: Mapping[str, Any] | str | bool | None = None
    json_object: bool = False
    choice: Sequence[str] | None = None
    regex: str | None = None
    grammar: str | None = None
    tools: ToolCalls | None = None
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        given = [
            form for form in _FORMS if getattr(self, form) is not None and (form != "json_object" or self.json_object)
        ]
        if len(given) != 1:
            these = " and ".join(given) or "nothing"
            raise InputError(
                f"{self.place or 'structured_outputs'}: {these} given; give one of {', '.join(_FORMS[:5])}"
            )
        object.__setattr__(self, "place", self.place or f"structured_outputs.{given[0]}")
        if self.json is not None:
            object.__setattr__(self, "json", _as_json(self.json, self.place))
        if self.choice is not None:
            object.__setattr__(self, "choice", _texts(self.choice, self.place))

    @property
    def length(self) -> int:
        """Characters of it."""
        schemas = [schema for _, schema in self.tools.tools] if self.tools else []
        return sum(
            len(str(text or "")) for text in (self.json, self.regex, self.grammar, *(self.choice or ()), *schemas)
        )

    @property
    def schema(self) -> Any:
        """The JSON schema; None where the answer is not JSON."""
        if self.json_object:
            return {"type": "object"}
        return None if self.json is None else json_.loads(str(self.json))


def _as_json(schema: Any, place: str) -> str:
    """The schema in JSON. Raises InputError: it is not a schema, or not JSON."""
    try:
        found = json_.loads(schema) if isinstance(schema, str) else schema
        text = json_.dumps(found, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: not JSON ({error})") from error
    except RecursionError as error:
        raise InputError(f"{place}: too many levels of objects and lists; nest fewer") from error
    if found is False:
        raise InputError(f"{place}: no answer has the schema false; give another one")
    if not isinstance(found, Mapping) and found is not True:
        raise InputError(f"{place}: a JSON schema is an object, not {text[:40]}")
    return text


def _texts(texts: Any, place: str) -> tuple[str, ...]:
    if isinstance(texts, str) or not all(isinstance(text, str) and text for text in texts) or not len(texts):
        raise InputError(f"{place}: give a list of texts, none of them empty")
    return tuple(texts)

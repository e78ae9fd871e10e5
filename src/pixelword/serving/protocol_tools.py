"""Tools as clients send them, in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pixelword.errors import InputError
from pixelword.generation.tool_grammar import ToolCalls
from pixelword.serving.fields import Body, CallID, JSONObject, Text

#: Arguments of a function that names none.
_NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
ToolName = Annotated[Text, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Function(Body):
    place: ClassVar[str] = "function"
    name: ToolName
    description: Text | None = None
    parameters: JSONObject | None = None


class Tool(Body):
    """A function that the model may call."""

    place: ClassVar[str] = "tool"
    type: Literal["function"]
    function: Function


class CalledFunction(Body):
    place: ClassVar[str] = "called_function"
    name: ToolName
    arguments: Text


class ToolCall(Body):
    """A call in an earlier answer."""

    place: ClassVar[str] = "tool_call"
    id: CallID | None = None
    type: Literal["function"] = "function"
    function: CalledFunction


class Named(Body):
    name: ToolName


class NamedTool(Body):
    """A choice of one function."""

    type: Literal["function"]
    function: Named


def _arguments(function: Function) -> str:
    """The schema of a function's arguments, in JSON: they are an object, even if it does not say so."""
    return json.dumps(_NOTHING if function.parameters is None else {**function.parameters, "type": "object"})


def form_of(tools: Sequence[Tool], choice: str | NamedTool | None, *, parallel: bool) -> ToolCalls:
    """The calls that an answer may have. Raises InputError: the tool of the choice is not among them, or two share a
    name."""
    names = [tool.function.name for tool in tools]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"tools: two have the name {double}; rename one")
    chosen = names
    if isinstance(choice, NamedTool):
        chosen = [choice.function.name]
        if chosen[0] not in names:
            raise InputError(f"tool_choice: no tool is named {chosen[0]}; use one of {', '.join(names)}")
    schemas = [(tool.function.name, _arguments(tool.function)) for tool in tools if tool.function.name in chosen]
    named = isinstance(choice, NamedTool)
    return ToolCalls(tuple(schemas), named or choice == "required", parallel and not named)

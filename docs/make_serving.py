"""The field tables of docs/serving.md, written by `python docs/make_serving.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixelword.serving import protocol
from pixelword.serving.fields import PASSIVE, Body
from pixelword.serving.protocol_conversation import ChatMessage, Part, Url
from pixelword.serving.protocol_embeddings import EmbeddingsRequest
from pixelword.serving.protocol_forms import JsonSchema, Structured
from pixelword.serving.protocol_messages import (
    Block,
    CountTokensRequest,
    MessagesRequest,
    MessagesTool,
    OutputConfig,
    OutputFormat,
    Source,
    ToolChoice,
    Turn,
)
from pixelword.serving.protocol_responses import (
    ChosenTool,
    FunctionCall,
    FunctionCallOutput,
    InputItem,
    InputPart,
    InputTokensRequest,
    ResponsesRequest,
    ResponseTool,
    TextConfig,
    TextFormat,
)
from pixelword.serving.protocol_tools import CalledFunction, Function, ToolCall

BEGIN, END = "<!-- fields: written by python docs/make_serving.py -->\n", "<!-- end of fields -->\n"
PAGE = Path(__file__).with_name("serving.md")
#: The places that have fields, by the heading of their tables' columns.
ROUTES: dict[str, type[Body]] = {
    "chat": protocol.ChatRequest,
    "completions": protocol.CompletionRequest,
    "responses": ResponsesRequest,
    "input_tokens": InputTokensRequest,
    "messages": MessagesRequest,
    "count_tokens": CountTokensRequest,
    "embeddings": EmbeddingsRequest,
    "tokenize": protocol.TokenizeRequest,
    "explain": protocol.ExplainRequest,
}
WITHIN: dict[str, type[Body]] = {
    "message": ChatMessage,
    "tool_call": ToolCall,
    "called_function": CalledFunction,
    "part": Part,
    "url": Url,
    "stream_options": protocol.StreamOptions,
    "json_schema": JsonSchema,
    "function": Function,
    "structured_outputs": Structured,
    "input_item": InputItem,
    "input_part": InputPart,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "response_tool": ResponseTool,
    "chosen_tool": ChosenTool,
    "text": TextConfig,
    "format": TextFormat,
    "turn": Turn,
    "block": Block,
    "source": Source,
    "messages_tool": MessagesTool,
    "messages_choice": ToolChoice,
    "output_config": OutputConfig,
    "output_format": OutputFormat,
}


def tables() -> str:
    """Return the table of fields, as Markdown."""
    return "\n".join((*_done(), "", *_passive())) + "\n"


def _done() -> Iterator[str]:
    yield "| field | value | in | |"
    yield "|---|---|---|---|"
    schemas = {place: model.model_json_schema()["properties"] for place, model in ROUTES.items()}
    names = dict.fromkeys(("model", "messages", "prompt"))
    names |= dict.fromkeys(name for model in ROUTES.values() for name in model.model_fields)
    for name in names:
        places = [place for place, model in ROUTES.items() if name in model.model_fields]
        for alike in _grouped(places, lambda place, name=name: schemas[place][name]):
            schema = schemas[alike[0]][name]
            yield f"| `{name}` | {_values(schema)} | {', '.join(alike)} | {schema.get('description', '')} |"


def _passive() -> Iterator[str]:
    yield "| field | accepted and ignored | in |"
    yield "|---|---|---|"
    places = [*ROUTES, *WITHIN]
    never: list[str] = []
    for name in sorted({name for place in places for name in PASSIVE.get(place, {})}):
        found = [place for place in places if name in PASSIVE.get(place, {})]
        for alike in _grouped(found, lambda place, name=name: PASSIVE[place][name]):
            accepts = PASSIVE[alike[0]][name]
            if not accepts:
                never.append(f"`{name}` ({', '.join(alike)})")
                continue
            values = (
                [f"any {accepts}"] if isinstance(accepts, str) else [f"`{json.dumps(accept)}`" for accept in accepts]
            )
            yield f"| `{name}` | {', '.join(values)} | {', '.join(alike)} |"
    yield f"\nRefused unless null: {', '.join(never)}."


def _grouped(places: list[str], key: Any) -> list[list[str]]:
    """Places with the same key together, in order."""
    found: list[list[str]] = []
    for place in places:
        group = next((group for group in found if key(group[0]) == key(place)), None)
        found.append([place]) if group is None else group.append(place)
    return found


def _values(schema: dict[str, Any]) -> str:
    """Describe the type and bounds of a JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_values(item) for item in schema["anyOf"] if item.get("type") != "null")
    if "$ref" in schema or "oneOf" in schema:
        return "object"
    if schema["type"] == "array":
        kind, *bounds = _values(schema["items"]).split(" ", 1)
        return " ".join((f"list of {kind}s", *bounds))
    low = next(
        (f"{sign}{_number(schema[k])}" for k, sign in (("minimum", "≥ "), ("exclusiveMinimum", "> ")) if k in schema),
        "",
    )
    high = f"≤ {_number(schema['maximum'])}" if "maximum" in schema else ""
    return " ".join((schema["type"], ", ".join(filter(None, (low, high))))).strip()


def _number(value: float) -> str:
    return (
        f"{value:g}" if abs(value) < 2**31 else f"±2^{abs(int(value)).bit_length() - 1}".replace("±", "-" * (value < 0))
    )


def written(page: str) -> str:
    """Return a page with its tables regenerated."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + tables() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else PAGE)
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")

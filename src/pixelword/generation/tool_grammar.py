"""The grammar of an answer that may, or must, call tools: Qwen3's calls, whose arguments have the tools' schemas."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pixelword.processing.tools import CALL_END, CALL_START


@dataclass(frozen=True)
class ToolCalls:
    """Calls of tools in an answer.

    Attributes:
        tools: Each name, and the JSON schema of its arguments, as JSON.
        required: The answer is calls alone; otherwise it is text that may end with calls.
        parallel: Whether there may be several calls.
    """

    tools: tuple[tuple[str, str], ...]
    required: bool = False
    parallel: bool = True


def call_rules(form: ToolCalls, arguments: list[str]) -> str:
    """Lark rules of the answer.

    Args:
        arguments: The rule of each tool's arguments.
    """
    bodies = [_body(name, rule) for (name, _), rule in zip(form.tools, arguments, strict=True)]
    more = f" ({_text(chr(10) + CALL_START)} body)*" if form.parallel else ""
    calls = f"body{more}"
    lines = [f"body_{number}: {body}" for number, body in enumerate(bodies)]
    lines.append("body: " + " | ".join(f"body_{number}" for number in range(len(bodies))))
    if form.required:
        return "\n".join([f"start: {_text(CALL_START)} {calls}", *lines])
    begin = f"begin[lazy]: TEXT {_text(CALL_START)}"
    return "\n".join([f"start: TEXT | begin {calls}", r"TEXT: /(.|\n)*/", begin, *lines])


def _body(name: str, arguments: str) -> str:
    head = f'\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '
    return f"{_text(head)} {arguments} {_text('}' + chr(10) + CALL_END)}"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

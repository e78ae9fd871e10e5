"""Tools in Qwen3's form: how a prompt offers them, how an answer calls them, and calls read from a text as it comes.

A tool is OpenAI's {"type": "function", "function": {"name": ..., "description": ..., "parameters": JSON schema}}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pixelword.errors import InputError

CALL_START, CALL_END = "<tool_call>", "</tool_call>"
RESPONSE_START, RESPONSE_END = "<tool_response>", "</tool_response>"
#: Tokens of their own where the tokenizer has them, as Qwen3's does.
TOOL_MARKS = (CALL_START, CALL_END, RESPONSE_START, RESPONSE_END)
BEFORE_TOOLS = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
AFTER_TOOLS = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    f"{CALL_START}{CALL_END} XML tags:\n{CALL_START}\n"
    f'{{"name": <function-name>, "arguments": <args-json-object>}}\n{CALL_END}'
)


def offered(tools: Sequence[Any]) -> str:
    """The tools as the prompt has them, one a line. Raises `InputError`: one is not in OpenAI's form."""
    for number, tool in enumerate(tools):
        own = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(own, Mapping) or not isinstance(own.get("name"), str):
            raise InputError(f"tools[{number}] is not a {{'type': 'function', 'function': {{'name': ...}}}}")
    return "".join(f"\n{json.dumps(tool, ensure_ascii=False)}" for tool in tools)


def called(call: Any, where: str) -> str:
    """A call as an answer has it, between its marks. Raises `InputError`: it is not in OpenAI's form."""
    own = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(own, Mapping) or not isinstance(own.get("name"), str) or "arguments" not in own:
        raise InputError(f"{where} has a tool call without 'name' and 'arguments'; give it both")
    arguments = own["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f'\n{{"name": "{own["name"]}", "arguments": {text}}}\n'


@dataclass(frozen=True)
class Piece:
    """A piece of an answer: text, or a part of call number `call`.

    Attributes:
        name: Of the tool; in the first piece of a call alone.
        text: Of the content, or of the call's arguments (JSON).
    """

    text: str
    call: int | None = None
    name: str | None = None


_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')
_MOST_HEAD = 4096  # characters in which a call must say its name


class ToolCallParser:
    """Splits an answer into content and calls, piece by piece.

    What begins as a call and is none stays text. White space before a call is no content.

    Attributes:
        calls: Calls so far, those that are not whole included.
        open: Whether the text ends within a call.
    """

    def __init__(self) -> None:
        self.calls = 0
        self._held = ""
        self._state: Literal["text", "head", "arguments", "tail"] = "text"
        self._depth, self._quoted, self._escaped = 0, False, False

    @property
    def open(self) -> bool:
        return self._state in ("head", "arguments")

    def add(self, text: str) -> list[Piece]:
        """What has become certain by more text."""
        self._held += text
        found: list[Piece] = []
        while (piece := self._next()) is not None:
            if piece.text or piece.name is not None:
                found.append(piece)
        return found

    def finish(self) -> list[Piece]:
        """What is left when the answer has ended."""
        held, self._held = self._held, ""
        if self._state == "head":
            return [Piece(CALL_START + held)]
        # white space behind the calls is no content either
        return [Piece(held)] if self._state == "text" and (held.strip() or (held and not self.calls)) else []

    def _next(self) -> Piece | None:
        """The next piece; None where more text is needed."""
        return {"text": self._text, "head": self._head, "arguments": self._arguments, "tail": self._tail}[self._state]()

    def _text(self) -> Piece | None:
        before, mark, after = self._held.partition(CALL_START)
        if mark:
            self._state, self._held = "head", after
            return Piece(before.rstrip())
        certain = len(before) - _overlap(before, CALL_START)
        certain = len(before[:certain].rstrip())  # white space may stand before a call
        if not certain:
            return None
        self._held = before[certain:]
        return Piece(before[:certain])

    def _head(self) -> Piece | None:
        found = _HEAD.match(self._held)
        name = None if found is None else _name(found[1])
        if found is not None and name is not None:
            self._state, self._held = "arguments", self._held[found.end() :]
            self._depth, self._quoted, self._escaped = 0, False, False
            self.calls += 1
            return Piece("", self.calls - 1, name)
        before, mark, after = self._held.partition(CALL_END)
        if mark or len(self._held) > _MOST_HEAD:
            self._state, self._held = "text", after
            return Piece(CALL_START + before + mark)
        return None

    def _arguments(self) -> Piece | None:
        end = next((place for place, letter in enumerate(self._held) if self._closes(letter)), None)
        if end is not None:
            self._state = "tail"
        size = len(self._held) if end is None else end + 1
        text, self._held = self._held[:size], self._held[size:]
        return Piece(text, self.calls - 1) if text else None

    def _closes(self, letter: str) -> bool:
        """Whether this letter is the last of the arguments."""
        if self._quoted:
            escaped, self._escaped = self._escaped, letter == "\\" and not self._escaped
            self._quoted = letter != '"' or escaped
            return False
        self._quoted = letter == '"'
        self._depth += (letter in "{[") - (letter in "}]")
        return letter in "}]" and self._depth == 0

    def _tail(self) -> Piece | None:
        _, mark, after = self._held.partition(CALL_END)
        if not mark:
            return None
        self._state, self._held = "text", after
        return Piece("")


def _name(text: str) -> str | None:
    """The string of a JSON text; None where it is not JSON, or has half a surrogate pair."""
    try:
        name = str(json.loads(text))
        name.encode()
        return name
    except ValueError:
        return None


def _overlap(text: str, mark: str) -> int:
    """Characters at the end of a text with which the mark begins."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:size])), 0)

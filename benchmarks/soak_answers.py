"""Answers of the server's routes, whole or streamed, in a form in which they can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
EMBEDDINGS = "/v1/embeddings"
#: What asks each route that can for a stream.
STREAMED: dict[str, dict[str, Any]] = {
    CHAT: {"stream": True, "stream_options": {"include_usage": True}},
    RESPONSES: {"stream": True},
    MESSAGES: {"stream": True},
}
#: The most that a number of a vector may differ.
TOLERANCE = 1e-4


@dataclass
class Answer:
    """An answer. calls: name and arguments of each tool call; cut: the token limit ended it; id: a response's."""

    content: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    vectors: list[list[float]] = field(default_factory=list)
    tokens: int = 0
    cut: bool = False
    id: str = ""


def differs(found: Answer, expected: Answer) -> str | None:
    """What makes an answer another than the expected one."""
    if len(found.vectors) != len(expected.vectors):
        return f"answered {len(found.vectors)} vectors, but alone {len(expected.vectors)}"
    for ours, theirs in zip(found.vectors, expected.vectors, strict=True):
        furthest = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        if furthest > TOLERANCE:
            return f"answered a vector that differs from the one alone by {furthest:g}"
    for name in ("content", "calls", "objects", "cut"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        if ours != theirs:
            return f"answered {name} {_parted(str(ours), str(theirs))}"
    return None


def _parted(ours: str, theirs: str) -> str:
    """Both texts, around the place where they part."""
    parts = (place for place, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
    begin = max(next(parts, min(len(ours), len(theirs))) - 20, 0)
    return f"{ours[begin : begin + 60]!r} from character {begin} on, but alone {theirs[begin : begin + 60]!r}"


def whole(path: str, body: dict[str, Any]) -> Answer:
    """The answer in the body of a response of this route."""
    return _WHOLE[path](body)


def _chat(body: dict[str, Any]) -> Answer:
    choice = body["choices"][0]
    message = choice["message"]
    functions = [call["function"] for call in message.get("tool_calls", ())]
    return Answer(
        message["content"] or "",
        [(function["name"], _spelled(function["arguments"])) for function in functions],
        message.get("objects", []),
        tokens=body["usage"]["completion_tokens"],
        cut=choice["finish_reason"] == "length",
    )


def _response(body: dict[str, Any]) -> Answer:
    texts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    return Answer(
        "".join(part["text"] for part in texts),
        [(item["name"], _spelled(item["arguments"])) for item in body["output"] if item["type"] == "function_call"],
        [place for part in texts for place in part.get("objects", ())],
        tokens=body["usage"]["output_tokens"],
        cut=body["status"] == "incomplete",
        id=body["id"],
    )


def _message(body: dict[str, Any]) -> Answer:
    blocks = body["content"]
    return Answer(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        [(block["name"], _spelled(json.dumps(block["input"]))) for block in blocks if block["type"] == "tool_use"],
        body.get("objects", []),
        tokens=body["usage"]["output_tokens"],
        cut=body["stop_reason"] == "max_tokens",
    )


def _embedding(body: dict[str, Any]) -> Answer:
    return Answer(vectors=[item["embedding"] for item in body["data"]], tokens=body["usage"]["total_tokens"])


_WHOLE: dict[str, Callable[[dict[str, Any]], Answer]] = {
    CHAT: _chat,
    RESPONSES: _response,
    MESSAGES: _message,
    EMBEDDINGS: _embedding,
}


def _spelled(arguments: str) -> str:
    """A call's arguments, the same however they are spaced; those that were cut stay as they are."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except ValueError:
        return arguments


class Stream:
    """An answer as the events of its stream arrive. ended: the last one has."""

    def __init__(self, path: str) -> None:
        self.ended = False
        self._add = {CHAT: self._chat, RESPONSES: self._response, MESSAGES: self._message}[path]
        self._answer = Answer()
        self._calls: dict[int, list[str]] = {}

    def add(self, data: str) -> bool:
        """Take an event's data; return whether it brings a part of the answer. Raises ValueError: it is an error."""
        if data == "[DONE]":
            self.ended = True
            return False
        event = json.loads(data)
        if event.get("error") or event.get("type") == "response.failed":
            raise ValueError(f"error in a stream: {event}")
        return self._add(event)

    def answer(self) -> Answer:
        """The whole answer, at its end."""
        calls = [(name, _spelled(arguments)) for _, (name, arguments) in sorted(self._calls.items())]
        self._answer.calls = calls
        return self._answer

    def _called(self, index: int, name: str, arguments: str) -> bool:
        call = self._calls.setdefault(index, [name, ""])
        call[1] += arguments
        return True

    def _chat(self, event: dict[str, Any]) -> bool:
        self._answer.tokens = (event.get("usage") or {}).get("completion_tokens", self._answer.tokens)
        for choice in event["choices"]:
            delta = choice["delta"]
            self._answer.cut = choice["finish_reason"] == "length"
            self._answer.objects = delta.get("objects", self._answer.objects)
            self._answer.content += delta.get("content") or ""
            for call in delta.get("tool_calls", ()):
                function = call["function"]
                self._called(call["index"], function.get("name", ""), function["arguments"])
        return any(choice["delta"].get("content") or choice["delta"].get("tool_calls") for choice in event["choices"])

    def _response(self, event: dict[str, Any]) -> bool:
        kind = event["type"]
        if kind == "response.output_text.delta":
            self._answer.content += event["delta"]
        elif kind == "response.output_item.added" and event["item"]["type"] == "function_call":
            self._called(event["output_index"], event["item"]["name"], "")
        elif kind == "response.function_call_arguments.delta":
            return self._called(event["output_index"], "", event["delta"])
        elif kind in ("response.completed", "response.incomplete"):
            said, self._answer, self.ended = self.answer(), _response(event["response"]), True
            if (said.content, said.calls) != (self._answer.content, self._answer.calls):
                raise ValueError(f"the events of a stream say {said}, and the last {self._answer}")
        return kind == "response.output_text.delta"

    def _message(self, event: dict[str, Any]) -> bool:
        kind, delta = event["type"], event.get("delta", {})
        if kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
            return self._called(event["index"], event["content_block"]["name"], "")
        if kind == "content_block_delta" and delta["type"] == "input_json_delta":
            return self._called(event["index"], "", delta["partial_json"])
        if kind == "content_block_delta":
            self._answer.content += delta["text"]
        elif kind == "message_delta":
            self._answer.cut = delta["stop_reason"] == "max_tokens"
            self._answer.objects = delta.get("objects", [])
            self._answer.tokens = event["usage"]["output_tokens"]
        self.ended = kind == "message_stop"
        return kind == "content_block_delta"

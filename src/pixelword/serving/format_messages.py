"""Anthropic's formats: messages, their streams, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from pixelword.generation.media_usage import media_usage
from pixelword.generation.request import Request
from pixelword.serving.answer_items import AnswerItems, Item
from pixelword.serving.format_responses import Extended
from pixelword.serving.responses import event, objects_of, shortened

#: Anthropic's names of errors, by status.
KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"]


class ErrorDetail(BaseModel):
    """The kind of an error, and its words."""

    type: str
    message: str


class MessagesError(BaseModel):
    """An error in Anthropic's format."""

    type: Literal["error"] = "error"
    error: ErrorDetail


class TextContent(BaseModel):
    """A block of text in an answer."""

    type: Literal["text"] = "text"
    text: str
    citations: None = None


class ToolUse(BaseModel):
    """A call of a tool in an answer."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


Content = TextContent | ToolUse


class MessagesUsage(Extended):
    """Tokens of a request. input_tokens: without those that the prefix cache had, which are cache_read_input_tokens.

    images, videos: what was seen of each.
    """

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int
    output_tokens: int


class MessagesAnswer(Extended):
    """The answer of `POST /v1/messages`. objects: the places that it names, if it names any."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[TextContent | ToolUse]
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    usage: MessagesUsage


class TokenCount(BaseModel):
    """The answer of `POST /v1/messages/count_tokens`."""

    input_tokens: int


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an answer that is an error."""
    kind = KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": shortened(message)}}


def failure(status: int, message: str) -> list[bytes]:
    """The events with which a stream fails."""
    return [event(error(status, message), "error")]


class MessagesReply:
    """Bodies and events of one answer.

    context_is_limit: its length was limited by the context, not by the client. tools: it may call tools.
    """

    def __init__(self, request_id: str, model: str, *, context_is_limit: bool, tools: bool) -> None:
        self._id, self._model, self._context_is_limit = f"msg_{request_id}", model, context_is_limit
        self.items, self._opened = AnswerItems(tools=tools), -1

    def whole(self, request: Request) -> dict[str, Any]:
        """The body of an answer that was not streamed, when `items` are finished; a call that was cut is left out."""
        content = [block for item in self.items.items if (block := _content(item)) is not None]
        return self._message(request, content, **self._end(request)).model_dump()

    def begin(self, request: Request) -> Iterator[bytes]:
        """The events before the first token."""
        yield _event("message_start", message=self._message(request, []).model_dump())
        yield from self._open(len(self.items.items) - 1)
        yield _event("ping")

    def piece(self, index: int, text: str) -> Iterator[bytes]:
        """The events of a piece of an item, as from `AnswerItems`."""
        yield from self._open(index)
        if self.items.items[index].name is None:
            delta = {"type": "text_delta", "text": text}
        else:
            delta = {"type": "input_json_delta", "partial_json": text}
        if text:
            yield _event("content_block_delta", index=index, delta=delta)

    def end(self, request: Request) -> Iterator[bytes]:
        """The events after the last token."""
        yield _event("content_block_stop", index=self._opened)
        yield _event("message_delta", delta=self._end(request), usage=_usage(request).model_dump())
        yield _event("message_stop")

    def _open(self, index: int) -> Iterator[bytes]:
        """The events of the beginning of a block, if it has not begun; those before it are complete."""
        while self._opened < index:
            if self._opened >= 0:
                yield _event("content_block_stop", index=self._opened)
            self._opened += 1
            item = self.items.items[self._opened]
            block = TextContent(text="") if item.name is None else _tool_use(item, {})
            yield _event("content_block_start", index=self._opened, content_block=block.model_dump())

    def _message(self, request: Request, content: Sequence[Content], **end: Any) -> MessagesAnswer:
        return MessagesAnswer(id=self._id, model=self._model, content=[*content], usage=_usage(request), **end)

    def _end(self, request: Request) -> dict[str, Any]:
        """Return why an answer ended, and the places that it names."""
        reason: StopReason | None = None
        sequence = request.stop_reason if isinstance(request.stop_reason, str) else None
        if request.reason == "stop":
            reason = "end_turn" if sequence is None else "stop_sequence"
            reason = "tool_use" if self.items.ends_with_calls else reason
        elif request.reason == "length":
            reason = "model_context_window_exceeded" if self._context_is_limit else "max_tokens"
        objects = {} if self.items.calls else objects_of(request)
        return {"stop_reason": reason, "stop_sequence": sequence, **objects}


def _content(item: Item) -> Content | None:
    if item.name is None:
        return TextContent(text=item.text)
    try:
        return _tool_use(item, json.loads(item.text))
    except ValueError:  # the answer was cut within it
        return None


def _tool_use(item: Item, arguments: dict[str, Any]) -> ToolUse:
    return ToolUse(id=f"toolu_{item.id}", name=item.name or "", input=arguments)


def _usage(request: Request) -> MessagesUsage:
    usage = request.usage
    return MessagesUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        **media_usage(request.prompt.images),
    )


def _event(kind: str, **content: Any) -> bytes:
    return event({"type": kind, **content}, kind)

"""OpenAI's format of responses: the response itself, and the events of its stream."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from pixelword.generation.request import Request, Token
from pixelword.processing.token_bytes import TokenBytes
from pixelword.serving.protocol_responses import ResponsesRequest
from pixelword.serving.responses import event, logprob_entries, shortened

Status = Literal["in_progress", "completed", "incomplete", "failed"]


class TopLogprob(BaseModel):
    """A likely token at one position of the output."""

    token: str
    logprob: float
    bytes: list[int]


class Logprob(TopLogprob):
    """A token of the output."""

    top_logprobs: list[TopLogprob]


class OutputText(BaseModel):
    """Text of the output."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[dict[str, Any]] = []
    logprobs: list[Logprob] = []


class OutputMessage(BaseModel):
    """The output: a message of the assistant."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Status
    content: list[OutputText]


class InputTokensDetails(BaseModel):
    """cached_tokens: those of the prompt that the prefix cache had."""

    cached_tokens: int
    cache_write_tokens: int = 0


class OutputTokensDetails(BaseModel):
    """reasoning_tokens: none; the model does not think before it answers."""

    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    """Tokens of a response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class ResponseError(BaseModel):
    """Why a response failed."""

    code: str
    message: str


class IncompleteDetails(BaseModel):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseObject(BaseModel):
    """The answer of `POST /v1/responses`."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Status
    background: bool = False
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputMessage]
    parallel_tool_calls: bool = True
    previous_response_id: str | None
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: str = "auto"
    tools: list[dict[str, Any]] = []
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None = None


class DeletedResponse(BaseModel):
    """The answer of `DELETE /v1/responses/ID`."""

    id: str
    object: Literal["response.deleted"] = "response.deleted"
    deleted: bool = True


class InputTokens(BaseModel):
    """The answer of `POST /v1/responses/input_tokens`."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class ResponsesReply:
    """The response to one request, and the events of its stream.

    id: random and not the request's, since it is what a client needs to read the response again.
    """

    def __init__(self, body: ResponsesRequest, model: str, token_bytes: TokenBytes, *, store: bool) -> None:
        self.id, self._item_id = f"resp_{uuid.uuid4().hex}", f"msg_{uuid.uuid4().hex}"
        self._bytes, self._number = token_bytes, -1
        self._start = ResponseObject(
            id=self.id,
            created_at=int(time.time()),
            status="in_progress",
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            metadata=body.metadata or {},
            model=model,
            output=[],
            previous_response_id=body.previous_response_id,
            store=store,
            temperature=body.temperature or 0.0,
            text={"format": body.form.model_dump(by_alias=True, exclude_none=True) if body.form else {"type": "text"}},
            top_logprobs=body.top_logprobs or 0,
            top_p=1.0 if body.top_p is None else body.top_p,
        )

    def whole(self, request: Request, tokens: Sequence[Token]) -> ResponseObject:
        """The response when its request has ended."""
        if request.reason == "cancelled":
            return self.failed("server_error", "the server stopped before the answer ended")
        cut = request.reason == "length"
        return self._start.model_copy(
            update={
                "status": "incomplete" if cut else "completed",
                "incomplete_details": IncompleteDetails() if cut else None,
                "output": [self._item("incomplete" if cut else "completed", [self._part(request.text, tokens)])],
                "usage": _usage(request),
            }
        )

    def failed(self, code: str, message: str) -> ResponseObject:
        """The response to a request that failed."""
        error = ResponseError(code=code, message=shortened(message))
        return self._start.model_copy(update={"status": "failed", "error": error})

    def begin(self) -> Iterator[bytes]:
        """The events before the first token."""
        start = self._start.model_dump()
        yield self._event("response.created", response=start)
        yield self._event("response.in_progress", response=start)
        item = self._item("in_progress", []).model_dump()
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._event("response.content_part.added", **self._place(), part=OutputText(text="").model_dump())

    def piece(self, token: Token) -> bytes:
        """The event of one more piece of text."""
        logprobs = logprob_entries([token], self._bytes)
        return self._event("response.output_text.delta", **self._place(), delta=token.text, logprobs=logprobs)

    def end(self, response: ResponseObject) -> Iterator[bytes]:
        """The events after the last token. response: as from `whole`."""
        if response.output:
            item = response.output[0]
            part = item.content[0].model_dump()
            yield self._event(
                "response.output_text.done", **self._place(), text=part["text"], logprobs=part["logprobs"]
            )
            yield self._event("response.content_part.done", **self._place(), part=part)
            yield self._event("response.output_item.done", output_index=0, item=item.model_dump())
        yield self._event(f"response.{response.status}", response=response.model_dump())

    def failure(self, status: int, message: str) -> list[bytes]:
        """The events with which a stream fails."""
        code = "server_error" if status >= 500 else "invalid_prompt"
        return [*self.end(self.failed(code, message))]

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": 0, "content_index": 0}

    def _item(self, status: Status, content: list[OutputText]) -> OutputMessage:
        return OutputMessage(id=self._item_id, status=status, content=content)

    def _part(self, text: str, tokens: Sequence[Token]) -> OutputText:
        return OutputText.model_validate({"text": text, "logprobs": logprob_entries(tokens, self._bytes)})

    def _event(self, kind: str, **content: Any) -> bytes:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number, **content}, kind)


def _usage(request: Request) -> ResponseUsage:
    usage = request.usage
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=usage.cached_tokens),
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )

"""OpenAI's format of responses: the response itself, and the events of its stream."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from pixelword.generation.media_usage import media_usage
from pixelword.generation.request import Request, Token
from pixelword.processing.token_bytes import TokenBytes
from pixelword.serving.answer_items import AnswerItems
from pixelword.serving.protocol_responses import ResponsesRequest
from pixelword.serving.responses import event, logprob_entries, objects_of, shortened

Status = Literal["in_progress", "completed", "incomplete", "failed"]


class Extended(BaseModel):
    """It may have fields of this server's own, where there is something for them: `objects`, `images`, `videos`."""

    model_config = {"extra": "allow"}


class TopLogprob(BaseModel):
    """A likely token at one position of the output."""

    token: str
    logprob: float
    bytes: list[int]


class Logprob(TopLogprob):
    """A token of the output."""

    top_logprobs: list[TopLogprob]


class OutputText(Extended):
    """Text of the output. objects: the places that it names, if it names any."""

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


class FunctionCallItem(BaseModel):
    """The output: a call of a tool. arguments: JSON, whole if the status is `completed`."""

    id: str
    type: Literal["function_call"] = "function_call"
    call_id: str
    name: str
    arguments: str
    status: Status


class InputTokensDetails(Extended):
    """cached_tokens: those of the prompt that the prefix cache had. images, videos: what was seen of each."""

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
    output: list[OutputMessage | FunctionCallItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
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

    def __init__(
        self, body: ResponsesRequest, model: str, token_bytes: TokenBytes, *, store: bool, tools: bool
    ) -> None:
        self.id = f"resp_{uuid.uuid4().hex}"
        self.items = AnswerItems(tools=tools)
        self._bytes, self._number, self._opened = token_bytes, -1, -1
        choice = body.tool_choice or "auto"
        self._start = ResponseObject(
            id=self.id,
            created_at=int(time.time()),
            status="in_progress",
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            metadata=body.metadata or {},
            model=model,
            output=[],
            parallel_tool_calls=body.parallel_tool_calls is not False,
            previous_response_id=body.previous_response_id,
            store=store,
            temperature=body.temperature or 0.0,
            text={"format": body.form.model_dump(by_alias=True, exclude_none=True) if body.form else {"type": "text"}},
            tool_choice=choice if isinstance(choice, str) else choice.model_dump(),
            tools=[tool.model_dump() for tool in body.tools or ()],
            top_logprobs=body.top_logprobs or 0,
            top_p=1.0 if body.top_p is None else body.top_p,
        )

    def whole(self, request: Request, tokens: Sequence[Token]) -> ResponseObject:
        """The response when its request has ended and `items` are finished."""
        if request.reason == "cancelled":
            return self.failed("server_error", "the server stopped before the answer ended")
        cut = request.reason == "length"
        last = len(self.items.items) - 1
        objects = {} if self.items.calls else objects_of(request)
        output = [
            self._item(index, "incomplete" if cut and index == last else "completed", tokens, **objects)
            for index in range(last + 1)
        ]
        return self._start.model_copy(
            update={
                "status": "incomplete" if cut else "completed",
                "incomplete_details": IncompleteDetails() if cut else None,
                "output": output,
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
        yield from self._open(len(self.items.items) - 1)

    def piece(self, index: int, text: str, tokens: Sequence[Token]) -> Iterator[bytes]:
        """The events of a piece of an item, as from `AnswerItems`. tokens: what it was made of."""
        yield from self._open(index)
        if self.items.items[index].name is not None:
            place = {"item_id": self._name(index), "output_index": index}
            yield self._event("response.function_call_arguments.delta", **place, delta=text)
        else:
            logprobs = logprob_entries(tokens, self._bytes)
            yield self._event("response.output_text.delta", **self._place(index), delta=text, logprobs=logprobs)

    def end(self, response: ResponseObject) -> Iterator[bytes]:
        """The events after the last token. response: as from `whole`."""
        if response.output:
            yield from self._open(len(response.output) - 1)
            yield from self._close(len(response.output) - 1, response.output[-1])
        yield self._event(f"response.{response.status}", response=response.model_dump())

    def failure(self, status: int, message: str) -> list[bytes]:
        """The events with which a stream fails."""
        code = "server_error" if status >= 500 else "invalid_prompt"
        return [*self.end(self.failed(code, message))]

    def _open(self, index: int) -> Iterator[bytes]:
        """The events of the beginning of an item, if it has not begun; those before it are complete."""
        while self._opened < index:
            if self._opened >= 0:
                yield from self._close(self._opened, self._item(self._opened, "completed", []))
            self._opened += 1
            item = self._item(self._opened, "in_progress", None).model_dump()
            yield self._event("response.output_item.added", output_index=self._opened, item=item)
            if item["type"] == "message":
                part = OutputText(text="").model_dump()
                yield self._event("response.content_part.added", **self._place(self._opened), part=part)

    def _close(self, index: int, item: OutputMessage | FunctionCallItem) -> Iterator[bytes]:
        """The events of an item's end."""
        if isinstance(item, FunctionCallItem):
            done = {"item_id": item.id, "output_index": index, "name": item.name, "arguments": item.arguments}
            yield self._event("response.function_call_arguments.done", **done)
        else:
            part = item.content[0].model_dump()
            said = {"text": part["text"], "logprobs": part["logprobs"]}
            yield self._event("response.output_text.done", **self._place(index), **said)
            yield self._event("response.content_part.done", **self._place(index), part=part)
        yield self._event("response.output_item.done", output_index=index, item=item.model_dump())

    def _name(self, index: int) -> str:
        item = self.items.items[index]
        return f"{'msg' if item.name is None else 'fc'}_{item.id}"

    def _place(self, index: int) -> dict[str, Any]:
        return {"item_id": self._name(index), "output_index": index, "content_index": 0}

    def _item(
        self, index: int, status: Status, tokens: Sequence[Token] | None, **extensions: Any
    ) -> OutputMessage | FunctionCallItem:
        """An item of the output; without tokens, at its beginning. extensions: further fields of its text."""
        own = self.items.items[index]
        text = "" if tokens is None else own.text
        if own.name is not None:
            call = f"call_{own.id}"
            return FunctionCallItem(id=self._name(index), call_id=call, name=own.name, arguments=text, status=status)
        said = {"text": text, "logprobs": logprob_entries(tokens or [], self._bytes), **extensions}
        content = [] if tokens is None else [OutputText.model_validate(said)]
        return OutputMessage(id=self._name(index), status=status, content=content)

    def _event(self, kind: str, **content: Any) -> bytes:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number, **content}, kind)


def _usage(request: Request) -> ResponseUsage:
    usage = request.usage
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=usage.cached_tokens, **media_usage(request.prompt.images)
        ),
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )

"""What `/openapi.json` says of each route beside its request: answers, errors, keys and an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from pixelword.serving.format_messages import MessagesError

_WORDS = {
    400: "The request is invalid; the message names the field.",
    401: "No valid API key was sent.",
    403: "A page of a foreign origin asks, and the server has no key.",
    404: "The model, or what the path or a field names, does not exist.",
    413: "The body is too large.",
    422: "An image or a video cannot be read.",
    429: "Too many requests wait; try again after `Retry-After` seconds.",
    500: "The server failed.",
    503: "The server is starting or ending.",
}
#: One of the server-sent events.
_EVENT = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON, or `[DONE]` at the end of OpenAI's older streams.",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
#: FastAPI's own answer to invalid requests.
_UNUSED = "HTTPValidationError"
#: What a route may answer beside 200: one that reads nothing, and one that takes a body.
READING: tuple[int, ...] = (401, 403, 500)
ASKING: tuple[int, ...] = (400, 401, 403, 404, 413, 422, 429, 500, 503)


class ErrorContent(BaseModel):
    """What went wrong. param: the field that it is about; code: the HTTP status."""

    message: str
    type: str
    param: str | None
    code: int


class Error(BaseModel):
    """An error in OpenAI's format."""

    error: ErrorContent


def described(
    answer: type[BaseModel],
    statuses: Sequence[int] = ASKING,
    *,
    streams: bool = False,
    example: dict[str, Any] | None = None,
    error: type[BaseModel] = Error,
) -> dict[str, Any]:
    """Arguments of a route's decorator.

    streams: the answer may be server-sent events. example: of the request's body. error: the format of errors,
    `MessagesError` under `/v1/messages`.
    """
    good: dict[str, Any] = {"model": answer, "description": "The answer."}
    if streams:
        good["content"] = {"text/event-stream": {"schema": _EVENT}}
    found: dict[str, Any] = {"responses": {200: good} | errors(statuses, error), "response_model": None}
    if example is not None:
        content = {"application/json": {"example": example}}
        found["openapi_extra"] = {"requestBody": {"content": content}}
    return found


def errors(statuses: Sequence[int], error: type[BaseModel] = Error) -> dict[int | str, Any]:
    """Descriptions of these statuses."""
    return {status: {"model": error, "description": _WORDS[status]} for status in statuses}


def complete(app: FastAPI) -> None:
    """Say how a key is sent: `Authorization: Bearer …` or `x-api-key`. Leave out FastAPI's own error, unused here."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        found = plain()
        found.setdefault("components", {})["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        }
        found["security"] = [{}, {"bearer": []}, {"key": []}]
        found["paths"]["/health"]["get"]["security"] = [{}]
        for operation in (operation for path in found["paths"].values() for operation in path.values()):
            if _UNUSED in str(operation["responses"].get("422")):  # invalid requests get a 400 here
                del operation["responses"]["422"]
        for name in (_UNUSED, "ValidationError"):
            found["components"]["schemas"].pop(name, None)
        return found

    app.openapi = openapi  # type: ignore[method-assign]


def described_messages(answer: type[BaseModel], **more: Any) -> dict[str, Any]:
    """As `described`, with errors in Anthropic's format."""
    return described(answer, error=MessagesError, **more)

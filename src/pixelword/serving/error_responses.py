"""Errors as responses: which status and which words an exception becomes, without internal details.

`/v1/messages` has Anthropic's format, every other route OpenAI's.
"""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pixelword.errors import MediaError, PixelwordError
from pixelword.serving import format_messages, responses
from pixelword.serving.fields import named_field, refusal
from pixelword.serving.settings import Settings
from pixelword.serving.state import Busy
from pixelword.serving.workers import NotReady

log = logging.getLogger("pixelword.serving")
#: pydantic's names of types, which stand between those of fields.
_FORMS = frozenset({"str", "int", "float", "bool", "Url", "key", "message", "function_call", "function_call_output"})


def error_body(path: str, status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """The body of an error, in the format of the route at `path`. param: the field that it is about."""
    if path.startswith("/v1/messages"):
        return format_messages.error(status, message)
    return responses.error(status, message, param=param)


def error_response(
    request: Request, status: int, message: str, param: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """An error in the format of the request's route. param: the field that it is about."""
    return JSONResponse(error_body(request.scope["path"], status, message, param), status, headers=headers)


def add_errors(app: FastAPI, settings: Settings) -> None:
    """Return every error in the format of its route."""
    later = {"Retry-After": str(settings.retry_after)}

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if "json" not in request.headers.get("content-type", ""):
            return error_response(request, 400, "send the request as JSON, with Content-Type: application/json")
        # of a choice between forms, what went furthest is what was meant
        worst = max(error.errors(), key=lambda item: len(item["loc"]))
        if worst["type"] == "json_invalid":
            return error_response(request, 400, "the body is not valid JSON")
        # pydantic's names of the forms (list[Part], str) are not a field's
        places = [p for p in worst["loc"][1:] if isinstance(p, int) or (p.isidentifier() and p not in _FORMS)]
        what = worst["msg"].removeprefix("Value error, ")
        if worst["type"] == "extra_forbidden":
            *_, name = worst["loc"]
            places, what = [*places[: -1 if name in places else None], name], refusal(str(name))
        where = ".".join(map(str, places))
        field = worst.get("ctx", {}).get("field")
        return error_response(request, 400, f"{where}: {what}" if where else what, where or field)

    @app.exception_handler(MediaError)
    async def media(request: Request, error: MediaError) -> Response:
        return error_response(request, 422, str(error), "messages")

    @app.exception_handler(PixelwordError)
    async def refused(request: Request, error: PixelwordError) -> Response:
        return error_response(request, 400, str(error), named_field(str(error)))

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        return error_response(
            request,
            429,
            "too many requests wait already; try again soon",
            headers=later,
        )

    @app.exception_handler(NotReady)
    async def starting(request: Request, error: NotReady) -> Response:
        log.error("request %s was sent away: %s", request.state.id, error)
        return error_response(
            request,
            503,
            "the server is still starting; try again soon",
            headers=later,
        )

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        headers = dict(error.headers or {})
        return error_response(request, error.status_code, detail, named_field(detail), headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.exception("request %s failed", getattr(request.state, "id", "?"), exc_info=error)
        return error_response(request, 500, "the server failed; try again")

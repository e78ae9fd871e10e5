"""Errors as responses: which status and which words an exception becomes, without internal details."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pixelword.errors import MediaError, PixelwordError
from pixelword.serving import responses
from pixelword.serving.fields import named_field, refusal
from pixelword.serving.settings import Settings
from pixelword.serving.state import Busy
from pixelword.serving.workers import NotReady

log = logging.getLogger("pixelword.serving")
#: OpenAI's names of errors, by status.
KINDS = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 413: "PayloadTooLargeError"}
KINDS |= {
    403: "PermissionDeniedError",
    405: "MethodNotAllowedError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}
#: pydantic's names of types, which stand between those of fields.
_FORMS = frozenset({"str", "int", "float", "bool", "Url", "key"})


def error_response(
    status: int, message: str, param: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """An error in OpenAI's format. param: the field that it is about."""
    kind = KINDS.get(status, "InternalServerError" if status >= 500 else "BadRequestError")
    return JSONResponse(responses.error(status, message, kind=kind, param=param), status, headers=headers)


def add_errors(app: FastAPI, settings: Settings) -> None:
    """Return every error in OpenAI's format, without internal details."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if "json" not in request.headers.get("content-type", ""):
            return error_response(400, "send the request as JSON, with Content-Type: application/json")
        # of a choice between forms, what went furthest is what was meant
        worst = max(error.errors(), key=lambda item: len(item["loc"]))
        if worst["type"] == "json_invalid":
            return error_response(400, "the body is not valid JSON")
        # pydantic's names of the forms (list[Part], str) are not a field's
        places = [p for p in worst["loc"][1:] if isinstance(p, int) or (p.isidentifier() and p not in _FORMS)]
        what = worst["msg"].removeprefix("Value error, ")
        if worst["type"] == "extra_forbidden":
            *_, name = worst["loc"]
            places, what = [*places[: -1 if name in places else None], name], refusal(str(name))
        where = ".".join(map(str, places))
        field = worst.get("ctx", {}).get("field")
        return error_response(400, f"{where}: {what}" if where else what, where or field)

    @app.exception_handler(MediaError)
    async def media(request: Request, error: MediaError) -> Response:
        return error_response(422, str(error), "messages")

    @app.exception_handler(PixelwordError)
    async def refused(request: Request, error: PixelwordError) -> Response:
        return error_response(400, str(error), named_field(str(error)))

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        return error_response(
            429, "too many requests wait already; try again soon", headers={"Retry-After": str(settings.retry_after)}
        )

    @app.exception_handler(NotReady)
    async def starting(request: Request, error: NotReady) -> Response:
        log.error("request %s was sent away: %s", request.state.id, error)
        return error_response(
            503, "the server is still starting; try again soon", headers={"Retry-After": str(settings.retry_after)}
        )

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return error_response(error.status_code, str(error.detail), headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.exception("request %s failed", getattr(request.state, "id", "?"), exc_info=error)
        return error_response(500, "the server failed; try again")

"""OpenAI-compatible HTTP server over one engine: chat with images and videos, streaming, metrics.

`create_app` makes it; `pixelword serve` runs it. The engine's thread owns the network, worker processes decode media,
and this process's event loop only passes text on. Routes are in `routes_*.py`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware

from pixelword._version import __version__
from pixelword.serving import guard, page
from pixelword.serving.description import complete
from pixelword.serving.error_responses import add_errors, error_response
from pixelword.serving.limiting import BodyLimit
from pixelword.serving.routes_chat import add_chat
from pixelword.serving.routes_embeddings import add_embeddings
from pixelword.serving.routes_explain import add_explain
from pixelword.serving.routes_info import add_info
from pixelword.serving.routes_messages import add_messages
from pixelword.serving.routes_responses import add_responses
from pixelword.serving.settings import Settings
from pixelword.serving.state import Server
from pixelword.serving.workers import Workers

if TYPE_CHECKING:
    from pixelword.generation.engine import Engine

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Routes that need no key. The page's files are the same for everybody; what they ask for needs one.
OPEN = frozenset({"/health", *page.FILES})


def create_app(engine: Engine, workers: Workers, settings: Settings) -> FastAPI:
    """Create the server over a running engine and workers, which the caller closes."""
    server = Server(engine, workers, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        server.closing = True

    # no pages that load scripts from elsewhere
    app = FastAPI(title="Pixelword", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.server = server
    add_errors(app, settings)
    for add in (add_chat, add_responses, add_messages, add_embeddings, add_info, add_explain):
        add(app, server)
    page.add_page(app)
    complete(app)

    app.add_middleware(BodyLimit, most=settings.max_body_bytes)  # within the next: without a key no body is taken in

    @app.middleware("http")
    async def outermost(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Keys, request ids, and headers that keep browsers from guessing."""
        given = request.headers.get("x-request-id", "")
        request.state.id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        given_keys = request.headers.get("authorization"), request.headers.get("x-api-key")
        if request.scope["path"] not in OPEN and not guard.authorised(*given_keys, keys=settings.api_keys):
            words = "give a valid API key: Authorization: Bearer …, or x-api-key: …"
            response: Response = error_response(request, 401, words)
            response.headers["WWW-Authenticate"] = "Bearer"
        elif not settings.api_keys and guard.foreign(request.headers.get("origin"), settings.allowed_origins):
            response = error_response(
                request,
                403,
                "without a key, only pages at this server's own address, localhost, and --allowed-origins may ask",
            )
        else:
            response = await call_next(request)
        response.headers["X-Request-Id"] = response.headers["request-id"] = request.state.id
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    # outside of the keys: a browser sends none when it asks whether a page may ask
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "HEAD", "POST", "DELETE"),
        allow_headers=("*",),
        expose_headers=("X-Request-Id", "request-id", "Retry-After"),
    )
    return app

"""OpenAI-compatible HTTP server over one engine: chat with images and videos, streaming, metrics.

`create_app` makes it; `pixelword serve` runs it. The engine's thread owns the network, worker processes decode media,
and this process's event loop only passes text on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from pixelword._version import __version__
from pixelword.errors import InputError, MediaError, PixelwordError
from pixelword.generation.request import Request as GenerationRequest
from pixelword.generation.request import Token
from pixelword.generation.sampling import Sampling
from pixelword.processing.types import Encoded
from pixelword.serving import guard, page, protocol, responses
from pixelword.serving.fields import named_field, refusal
from pixelword.serving.limiting import BodyLimit
from pixelword.serving.routes_explain import add_explain
from pixelword.serving.settings import Settings
from pixelword.serving.state import Busy, Server
from pixelword.serving.token_bytes import TokenBytes
from pixelword.serving.workers import NotReady, Workers

if TYPE_CHECKING:
    from pixelword.generation.engine import Engine

log = logging.getLogger("pixelword.serving")
_KINDS = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 413: "PayloadTooLargeError"}
_KINDS |= {
    403: "PermissionDeniedError",
    405: "MethodNotAllowedError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}
#: pydantic's names of types, which stand between those of fields.
_FORMS = frozenset({"str", "int", "float", "bool", "Url", "key"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Routes that need no key. The page's files are the same for everybody; what they ask for needs one.
OPEN = frozenset({"/health", *page.FILES})


class Answers:
    """Answers to one request, as they arrive, on the event loop."""

    def __init__(self, server: Server, asked: Sequence[tuple[Encoded, Sampling]]) -> None:
        self.server = server
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[tuple[int, Token | None]] = asyncio.Queue()
        self.generations: list[GenerationRequest] = []
        try:
            for index, (prompt, sampling) in enumerate(asked):
                self.generations.append(server.engine.submit(prompt, sampling, self._listener(index)))
        except BaseException:
            self.cancel()
            raise

    def _listener(self, index: int) -> Callable[[Token | None], None]:
        def hear(token: Token | None) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended: nobody listens any more
                self._loop.call_soon_threadsafe(self._hear, index, token)

        return hear

    def _hear(self, index: int, token: Token | None) -> None:
        """Receive a token on the event loop; ends are counted even if nobody is listening any more."""
        if token is None:
            self.server.metrics.count(self.generations[index])
        self._heard.put_nowait((index, token))

    async def __aiter__(self) -> AsyncIterator[tuple[int, Token | None]]:
        """Yield (number of the answer, token, or None at its end). Closing it early cancels the rest."""
        open_ = len(self.generations)
        try:
            while open_:
                index, token = await self._heard.get()
                if token is None:
                    open_ -= 1
                    if (error := self.generations[index].error) is not None:
                        raise error
                yield index, token
        finally:
            self.cancel()

    def cancel(self) -> None:
        for generation in self.generations:
            generation.cancel()


async def _left(request: Request) -> None:
    """Wait until the client disconnects; behind function middleware, `Request.is_disconnected` never notices."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _whole(answers: Answers, request: Request, reply: responses.Reply) -> dict[str, Any]:
    """Collect all answers; a client that disconnects cancels them."""
    outputs: list[list[Token]] = [[] for _ in answers.generations]

    async def collect() -> None:
        async for index, token in answers:
            if token is not None:
                outputs[index].append(token)

    work, gone = asyncio.ensure_future(collect()), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise HTTPException(499, "the client went away")  # nginx's number for it; nobody reads this
        await work
    finally:  # the server may end this too, in the middle
        work.cancel()
        gone.cancel()
        answers.cancel()
    return reply.whole(answers.generations, outputs)


async def _stream(answers: Answers, reply: responses.Reply, *, with_usage: bool) -> AsyncIterator[bytes]:
    try:
        if reply.chat:
            for index in range(len(answers.generations)):
                yield responses.event(reply.first(index))
        async for index, token in answers:
            if token is None:
                yield responses.event(reply.last(index, answers.generations[index]))
            elif token.text or token.logprob is not None:
                yield responses.event(reply.piece(index, token))
        if with_usage:
            yield responses.event(reply.cost(answers.generations))
        yield responses.DONE
    except PixelwordError as error:
        yield responses.event(responses.error(400, str(error), kind=_KINDS[400], param=named_field(str(error))))
    except Exception:
        log.exception("a stream failed")
        yield responses.event(responses.error(500, "the server failed; try again", kind="InternalServerError"))


class _Streaming(StreamingResponse):
    """A stream that cancels its answers when it ends, even if the client left before it started."""

    def __init__(self, answers: Answers, pieces: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(pieces, media_type="text/event-stream", headers=headers)
        self._answers = answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answers.cancel()


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
    _add_errors(app, settings)
    _add_routes(app, server)
    page.add_page(app)
    add_explain(app, server)

    app.add_middleware(BodyLimit, most=settings.max_body_bytes)  # within the next: without a key no body is taken in

    @app.middleware("http")
    async def outermost(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Keys, request ids, and headers that keep browsers from guessing."""
        given = request.headers.get("x-request-id", "")
        request.state.id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        if request.scope["path"] not in OPEN and not guard.authorised(
            request.headers.get("authorization"), settings.api_keys
        ):
            response: Response = _error(401, "give a valid API key: Authorization: Bearer …")
            response.headers["WWW-Authenticate"] = "Bearer"
        elif not settings.api_keys and guard.foreign(request.headers.get("origin"), settings.allowed_origins):
            response = _error(
                403,
                "without a key, only pages at this server's own address, localhost, and --allowed-origins may ask",
            )
        else:
            response = await call_next(request)
        response.headers["X-Request-Id"] = request.state.id
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    # outside of the keys: a browser sends none when it asks whether a page may ask
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "HEAD", "POST"),
        allow_headers=("*",),
        expose_headers=("X-Request-Id", "Retry-After"),
    )
    return app


def _add_routes(app: FastAPI, server: Server) -> None:
    settings, engine = server.settings, server.engine
    tokenizer = engine.processor.tokenizer
    token_bytes = TokenBytes(tokenizer)

    async def answer(
        request: Request, body: protocol.Request, prompts: Sequence[Encoded], logprobs: int | None
    ) -> Response:
        asked = [
            (prompt, body.sampling(settings, engine.room(prompt), logprobs=logprobs, choice=n))
            for prompt in prompts
            for n in range(body.n or 1)
        ]
        answers = Answers(server, asked)
        chat = isinstance(body, protocol.ChatRequest)
        reply = responses.Reply(request.state.id, settings.served_model_name, token_bytes, chat=chat)
        if not body.stream:
            return JSONResponse(await _whole(answers, request, reply))
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        return _Streaming(answers, _stream(answers, reply, with_usage=with_usage))

    @app.post("/v1/chat/completions")
    async def chat(request: Request, body: protocol.ChatRequest) -> Response:
        server.check(body.model)
        body.check(settings)
        prompt = await server.chat_prompt(body.messages, body.media_options() | body.ending(body.messages))
        return await answer(request, body, [prompt], body.num_logprobs)

    @app.post("/v1/completions")
    async def completions(request: Request, body: protocol.CompletionRequest) -> Response:
        server.check(body.model)
        body.check(settings)
        prompts = [server.text_prompt(text) for text in body.prompts]
        if len(prompts) * (body.n or 1) > settings.max_choices:
            raise InputError(f"prompt: a request may have {settings.max_choices} answers in all")
        return await answer(request, body, prompts, body.logprobs)

    @app.post("/tokenize")
    async def tokenize(body: protocol.TokenizeRequest) -> dict[str, Any]:
        if body.messages is not None:
            options = body.media_options() | body.ending(body.messages)
            prompt = await server.chat_prompt(body.messages, options)
        else:
            prompt = server.text_prompt(body.prompt or "")
        ids = prompt.input_ids.tolist()
        result = {"count": len(ids), "max_model_len": engine.max_model_len, "tokens": ids}
        return result | ({"token_strs": tokenizer.convert_ids_to_tokens(ids)} if body.return_token_strs else {})

    limits = settings.limit_mm_per_prompt | {"bytes": settings.limits.max_bytes}
    model = {"id": settings.served_model_name, "object": "model", "created": 0, "owned_by": "pixelword"}
    model |= {"max_model_len": engine.max_model_len, "limits": limits}

    @_get(app, "/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @_get(app, "/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        if name != settings.served_model_name:
            raise HTTPException(404, f"The model `{name}` does not exist.")
        return model

    @_get(app, "/health")
    async def health() -> Response:
        return Response(status_code=503 if server.closing or not engine.alive else 200)

    @_get(app, "/version")
    async def version() -> dict[str, str]:
        return {"version": __version__}

    @_get(app, "/metrics")
    async def metrics() -> Response:
        return Response(server.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _get(app: FastAPI, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a GET route that also answers HEAD, which monitors use."""

    def add(answer: Callable[..., Any]) -> Callable[..., Any]:
        return app.get(path)(app.head(path, include_in_schema=False)(answer))

    return add


def _error(status: int, message: str, param: str | None = None, headers: dict[str, str] | None = None) -> Response:
    kind = _KINDS.get(status, "InternalServerError" if status >= 500 else "BadRequestError")
    return JSONResponse(responses.error(status, message, kind=kind, param=param), status, headers=headers)


def _add_errors(app: FastAPI, settings: Settings) -> None:
    """Return every error in OpenAI's format, without internal details."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if "json" not in request.headers.get("content-type", ""):
            return _error(400, "send the request as JSON, with Content-Type: application/json")
        # of a choice between forms, what went furthest is what was meant
        worst = max(error.errors(), key=lambda item: len(item["loc"]))
        if worst["type"] == "json_invalid":
            return _error(400, "the body is not valid JSON")
        # pydantic's names of the forms (list[Part], str) are not a field's
        places = [p for p in worst["loc"][1:] if isinstance(p, int) or (p.isidentifier() and p not in _FORMS)]
        what = worst["msg"].removeprefix("Value error, ")
        if worst["type"] == "extra_forbidden":
            *_, name = worst["loc"]
            places, what = [*places[: -1 if name in places else None], name], refusal(str(name))
        where = ".".join(map(str, places))
        field = worst.get("ctx", {}).get("field")
        return _error(400, f"{where}: {what}" if where else what, where or field)

    @app.exception_handler(MediaError)
    async def media(request: Request, error: MediaError) -> Response:
        return _error(422, str(error), "messages")

    @app.exception_handler(PixelwordError)
    async def refused(request: Request, error: PixelwordError) -> Response:
        return _error(400, str(error), named_field(str(error)))

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        return _error(
            429, "too many requests wait already; try again soon", headers={"Retry-After": str(settings.retry_after)}
        )

    @app.exception_handler(NotReady)
    async def starting(request: Request, error: NotReady) -> Response:
        log.error("request %s was sent away: %s", request.state.id, error)
        return _error(
            503, "the server is still starting; try again soon", headers={"Retry-After": str(settings.retry_after)}
        )

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return _error(error.status_code, str(error.detail), headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.exception("request %s failed", getattr(request.state, "id", "?"), exc_info=error)
        return _error(500, "the server failed; try again")

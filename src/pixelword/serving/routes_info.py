"""Routes that generate nothing: the model, the server's health and metrics, and the tokens of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException

from pixelword._version import __version__
from pixelword.generation.embedding import Pooling
from pixelword.serving import protocol
from pixelword.serving.description import READING, described, errors
from pixelword.serving.format_openai import ModelCard, ModelList, TokenizeAnswer, Version
from pixelword.serving.state import Server


def add_info(app: FastAPI, server: Server) -> None:
    """`/tokenize`, `/v1/models`, `/health`, `/version` and `/metrics`."""
    settings, engine = server.settings, server.engine
    tokenizer = engine.processor.tokenizer

    @app.post("/tokenize", **described(TokenizeAnswer, example={"prompt": "what is it?"}))
    async def tokenize(body: protocol.TokenizeRequest) -> dict[str, Any]:
        if body.messages is not None:
            options = body.media_options() | body.ending(body.messages) | body.offered()
            prompt = await server.chat_prompt(body.messages, options)
        else:
            prompt = server.text_prompt(body.prompt or "")
        ids = prompt.input_ids.tolist()
        result = {"count": len(ids), "max_model_len": engine.max_model_len, "tokens": ids}
        return result | ({"token_strs": tokenizer.convert_ids_to_tokens(ids)} if body.return_token_strs else {})

    limits = settings.limit_mm_per_prompt | {"bytes": settings.limits.max_bytes}
    model = {"id": settings.served_model_name, "object": "model", "created": 0, "owned_by": "pixelword"}
    dimensions = engine.model.config.get_text_config().hidden_size
    vectors = {"dimensions": dimensions, "pooling": [*get_args(Pooling)], "normalized": True}
    model |= {"max_model_len": engine.max_model_len, "limits": limits, "embeddings": vectors}

    @get(app, "/v1/models", **described(ModelList, READING))
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @get(app, "/v1/models/{name:path}", **described(ModelCard, (400, 404, *READING)))
    async def one_model(name: str) -> dict[str, Any]:
        if name != settings.served_model_name:
            raise HTTPException(404, f"The model `{name}` does not exist.")
        return model

    health_words = {200: {"description": "The server answers."}, 503: {"description": "It is starting or ending."}}

    @get(app, "/health", response_class=Response, responses=health_words)
    async def health() -> Response:
        return Response(status_code=503 if server.closing or not engine.alive else 200)

    @get(app, "/version", **described(Version, READING))
    async def version() -> dict[str, str]:
        return {"version": __version__}

    series: dict[int | str, Any] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @get(app, "/metrics", response_class=Response, responses=series | errors(READING))
    async def metrics() -> Response:
        return Response(server.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def get(app: FastAPI, path: str, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a GET route that also answers HEAD, which monitors use. more: of its decorator."""

    def add(answer: Callable[..., Any]) -> Callable[..., Any]:
        return app.get(path, **more)(app.head(path, include_in_schema=False)(answer))

    return add

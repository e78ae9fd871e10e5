"""Routes that generate nothing: the model, the server's health and metrics, and the tokens of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException

from pixelword._version import __version__
from pixelword.generation.embedding import Pooling
from pixelword.serving import protocol
from pixelword.serving.state import Server


def add_info(app: FastAPI, server: Server) -> None:
    """`/tokenize`, `/v1/models`, `/health`, `/version` and `/metrics`."""
    settings, engine = server.settings, server.engine
    tokenizer = engine.processor.tokenizer

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
    dimensions = engine.model.config.get_text_config().hidden_size
    vectors = {"dimensions": dimensions, "pooling": [*get_args(Pooling)], "normalized": True}
    model |= {"max_model_len": engine.max_model_len, "limits": limits, "embeddings": vectors}

    @get(app, "/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @get(app, "/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        if name != settings.served_model_name:
            raise HTTPException(404, f"The model `{name}` does not exist.")
        return model

    @get(app, "/health")
    async def health() -> Response:
        return Response(status_code=503 if server.closing or not engine.alive else 200)

    @get(app, "/version")
    async def version() -> dict[str, str]:
        return {"version": __version__}

    @get(app, "/metrics")
    async def metrics() -> Response:
        return Response(server.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def get(app: FastAPI, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a GET route that also answers HEAD, which monitors use."""

    def add(answer: Callable[..., Any]) -> Callable[..., Any]:
        return app.get(path)(app.head(path, include_in_schema=False)(answer))

    return add

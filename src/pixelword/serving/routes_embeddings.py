"""`POST /v1/embeddings`: vectors of texts and images for search.

It has the checks of every route, and runs next to the engine on the same weights: one request at a time, in a thread of
its own, in parts, so that a client that disconnects ends it.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.embedding import Pooling, batches, embed
from pixelword.processing.types import Encoded
from pixelword.serving.answering import unless_gone
from pixelword.serving.description import described
from pixelword.serving.protocol_embeddings import EmbeddingsRequest
from pixelword.serving.state import Busy, Server


class Embedding(BaseModel):
    """The vector of one input; base64 of little-endian float32 if the request says so."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    """Tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """The answer of `POST /v1/embeddings`. Vectors have length 1."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    pooling: Pooling
    normalized: Literal[True] = True
    usage: EmbeddingsUsage


def add_embeddings(app: FastAPI, server: Server) -> None:
    """The route."""
    turn = asyncio.Semaphore(1)
    thread = ThreadPoolExecutor(1, thread_name_prefix="pixelword-embeddings")
    waiting = 0
    size = server.engine.model.config.get_text_config().hidden_size

    async def vectors(prompts: Sequence[Encoded], pooling: Pooling) -> Tensor:
        found = torch.empty(len(prompts), size)
        async with turn:
            for places in batches([len(prompt) for prompt in prompts]):
                part = [prompts[place] for place in places]
                found[places] = await asyncio.get_running_loop().run_in_executor(
                    thread, embed, server.engine.model, server.engine.processor, part, pooling
                )
        return found

    async def written(prompts: Sequence[Encoded], pooling: Pooling, encoding: str | None) -> bytes:
        found, tokens = await vectors(prompts, pooling), sum(map(len, prompts))
        answer = EmbeddingsAnswer(
            data=[],
            model=server.settings.served_model_name,
            pooling=pooling,
            usage=EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens),
        )
        return await asyncio.get_running_loop().run_in_executor(thread, _written, answer, found, encoding)

    @app.post("/v1/embeddings", **described(EmbeddingsAnswer, example={"input": ["a red circle", "a blue star"]}))
    async def embeddings(request: Request, body: EmbeddingsRequest) -> Response:
        nonlocal waiting
        server.check(body.model)
        if waiting > server.settings.max_waiting:
            raise Busy
        if body.dimensions not in (None, size):
            raise InputError(f"dimensions: {body.dimensions} is not the {size} of this model; leave it out")
        waiting += 1
        try:
            prompts = await _prompts(server, body)
            answer = await unless_gone(request, written(prompts, body.pooling or "mean", body.encoding_format))
        finally:
            waiting -= 1
        server.metrics.count_prompts(sum(map(len, prompts)))
        return Response(answer, media_type="application/json")


async def _prompts(server: Server, body: EmbeddingsRequest) -> list[Encoded]:
    """The inputs as the model reads them. Raises InputError: one is empty, or too long."""
    if sum(map(len, body.inputs)) > server.settings.max_text:
        raise InputError(f"input: more than the {server.settings.max_text:,} characters or tokens of one request")
    if body.messages is not None:
        options = body.media_options() | {"add_generation_prompt": False}
        found = [await server.chat_prompt(body.messages, options)]
    else:
        found = [
            server.text_prompt(item, "input") if isinstance(item, str) else _of_ids(server, item)
            for item in body.inputs
        ]
    for prompt in found:
        if server.engine.room(prompt) < 0:
            raise InputError(
                f"{'input' if body.messages is None else 'messages'}: {len(prompt):,} tokens are more than the "
                f"{server.engine.max_model_len:,} that this server reads"
            )
    return found


def _of_ids(server: Server, ids: list[int]) -> Encoded:
    vocabulary = server.engine.model.config.get_text_config().vocab_size
    if (largest := max(ids)) >= vocabulary:
        raise InputError(f"input: token {largest} is out of range; this model has {vocabulary:,}")
    return Encoded.of_text(torch.tensor(ids))


def _written(answer: EmbeddingsAnswer, vectors: Tensor, encoding: str | None) -> bytes:
    """The answer as JSON, with these vectors. Row by row: one call for all would hold the interpreter for seconds."""
    rows = (
        Embedding(index=index, embedding=_vector(row, encoding)).model_dump_json() for index, row in enumerate(vectors)
    )
    before, after = answer.model_dump_json().split('"data":[]', 1)
    return f'{before}"data":[{",".join(rows)}]{after}'.encode()


def _vector(vector: Tensor, encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()
    return vector.tolist()

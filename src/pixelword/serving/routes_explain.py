"""`POST /v1/explain`: explains an answer, for the page's tab "Look inside" and other clients.

It has the same checks as every route: key, body, media, load. It runs next to the engine, in its own thread on the same
weights, read-only; one explanation at a time, so that answers keep most of the machine.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pixelword.errors import InputError
from pixelword.explain import page
from pixelword.explain.explanation import explain_prompt
from pixelword.generation.session import Session
from pixelword.processing.types import Encoded
from pixelword.serving import protocol
from pixelword.serving.description import described
from pixelword.serving.format_openai import Explanation
from pixelword.serving.state import Server

#: Explanations that may wait for the one that runs.
_WAITING = 2

_EXAMPLE = {
    "messages": [{"role": "user", "content": "what is the opposite of hot?"}],
    "max_words": 2,
    "occlusions": 0,
}


def add_explain(app: FastAPI, server: Server) -> None:
    """The route. A prompt may have `settings.max_explain_tokens` tokens."""
    turn = asyncio.Semaphore(1)
    here = 0

    @app.post("/v1/explain", **described(Explanation, example=_EXAMPLE))
    async def explain(body: protocol.ExplainRequest) -> JSONResponse:
        nonlocal here
        server.check(body.model)
        if not (most := server.settings.max_explain_tokens):
            raise InputError("this server looks into no answers: it was started with --max-explain-tokens 0")
        if here > _WAITING:
            wait = {"Retry-After": str(server.settings.retry_after)}
            raise HTTPException(429, "other answers are being explained; try again soon", headers=wait)
        here += 1
        try:
            prompt = await server.chat_prompt(body.messages, body.media_options())
            if len(prompt) > most:
                raise InputError(
                    f"messages: {len(prompt):,} tokens are more than the {most:,} that can be explained "
                    "(--max-explain-tokens); send fewer or smaller images"
                )
            async with turn:
                return JSONResponse(await asyncio.to_thread(_explained, server, prompt, body))
        finally:
            here -= 1


def _explained(server: Server, prompt: Encoded, body: protocol.ExplainRequest) -> dict[str, Any]:
    session = Session(server.engine.model, server.engine.processor)
    content = body.messages[-1].content
    question = "".join(part.text or "" for part in content) if isinstance(content, list) else content or ""
    # as many cells as images at least, so that a video can be hidden frame by frame
    occlusions = max(body.occlusions, len(prompt.image_grid_hw)) if body.occlusions else 0
    found = explain_prompt(
        session, prompt, question, answer=body.answer, max_words=body.max_words, occlusions=occlusions
    )
    return page.page_data(found, server.settings.served_model_name)

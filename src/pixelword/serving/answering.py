"""Answers of the engine on the event loop: submitted together, read as they arrive, cancelled when the client leaves.

Every route that generates uses these, whatever form its answer has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import Request as HTTPRequest
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from pixelword.errors import PixelwordError
from pixelword.generation.request import Request, Token
from pixelword.generation.sampling import Sampling
from pixelword.processing.types import Encoded
from pixelword.serving import protocol
from pixelword.serving.state import Server

log = logging.getLogger("pixelword.serving")
Result = TypeVar("Result")


class Answers:
    """Answers to one request, as they arrive, on the event loop."""

    def __init__(self, server: Server, asked: Sequence[tuple[Encoded, Sampling]]) -> None:
        self.server = server
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[tuple[int, Token | None]] = asyncio.Queue()
        self.generations: list[Request] = []
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


async def submit_chat(server: Server, body: protocol.ChatRequest) -> Answers:
    """One answer to a chat, of at most the tokens that the context has left for it."""
    await server.compile(body.structure())
    prompt = await server.chat_prompt(body.messages, body.prompt_options())
    room = server.engine.room(prompt)
    sampling = body.sampling(server.settings, room, logprobs=body.num_logprobs, choice=0)
    return Answers(server, [(prompt, replace(sampling, max_new_tokens=max(1, min(sampling.max_new_tokens, room))))])


async def _left(request: HTTPRequest) -> None:
    """Wait until the client disconnects; behind function middleware, `Request.is_disconnected` never notices."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def collected(answers: Answers, request: HTTPRequest) -> list[list[Token]]:
    """The tokens of every answer, when all have ended; a client that disconnects cancels them."""
    outputs: list[list[Token]] = [[] for _ in answers.generations]

    async def collect() -> None:
        async for index, token in answers:
            if token is not None:
                outputs[index].append(token)

    try:
        await unless_gone(request, collect())
    finally:  # the server may end this too, in the middle
        answers.cancel()
    return outputs


async def unless_gone(request: HTTPRequest, work: Coroutine[Any, Any, Result]) -> Result:
    """The work's result; it is cancelled if the client disconnects before that."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(499, "the client went away")  # nginx's number for it; nobody reads this
        return await task
    finally:
        task.cancel()
        gone.cancel()


async def guarded(events: AsyncIterator[bytes], failure: Callable[[int, str], Iterable[bytes]]) -> AsyncIterator[bytes]:
    """The events of a stream; if it fails on its way, those that say so. failure: status and message -> events."""
    try:
        async for event in events:
            yield event
    except PixelwordError as error:
        for event in failure(400, str(error)):
            yield event
    except Exception:
        log.exception("a stream failed")
        for event in failure(500, "the server failed; try again"):
            yield event


class Streaming(StreamingResponse):
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

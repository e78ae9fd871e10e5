"""State shared by the server's routes: engine, workers, settings and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from starlette.exceptions import HTTPException

from pixelword.errors import InputError
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.processing.tools import CALL_START
from pixelword.processing.types import Encoded
from pixelword.serving import guard
from pixelword.serving.metrics import Metrics
from pixelword.serving.protocol_conversation import ChatMessage
from pixelword.serving.settings import Settings
from pixelword.serving.workers import Workers

if TYPE_CHECKING:
    from pixelword.generation.engine import Engine


log = logging.getLogger("pixelword.serving")


class Busy(Exception):
    """The queue is full."""


class Server:
    """State shared by the routes: engine, workers, settings, metrics."""

    def __init__(self, engine: Engine, workers: Workers, settings: Settings) -> None:
        self.engine, self.workers, self.settings = engine, workers, settings
        self.metrics = Metrics(engine, settings.served_model_name)
        self.closing = False
        self._preparing = 0
        self._warned = False

    def check(self, model: str | None) -> None:
        """Check the model's name and the load, before any work."""
        if model not in (None, "", self.settings.served_model_name):
            raise HTTPException(404, f"The model `{model}` does not exist.")
        here = sum(self.engine.load) + self._preparing
        if self.closing or here >= self.engine.options.max_num_seqs + self.settings.max_waiting:
            raise Busy

    async def chat_prompt(self, messages: Sequence[ChatMessage], options: dict[str, Any]) -> Encoded:
        """Encode the prompt of a chat; media are fetched in a thread and decoded in a worker."""
        self._preparing += 1
        try:
            tools = options.get("tools", ())
            chat = await asyncio.to_thread(guard.conversation, messages, self.settings, tools=tools)
            return await asyncio.wrap_future(self.workers.encode(chat, options))
        finally:
            self._preparing -= 1

    async def compile(self, structure: StructuredOutputs | None) -> None:
        """Compile the form of an answer, in the compiler's own thread, before it is submitted.

        Raises InputError: it is not understood.
        """
        if structure is None:
            return
        if structure.tools is not None and not self._warned and CALL_START not in self.engine.processor.encoder.added:
            self._warned = True
            log.warning(
                "%s was not trained with tools (its tokenizer has no %s): calls have their form, but when tools are "
                "called, and with what, is left to chance",
                self.settings.served_model_name,
                CALL_START,
            )
        self._preparing += 1
        try:
            await asyncio.wrap_future(self.engine.start_compile(structure))
        finally:
            self._preparing -= 1

    def text_prompt(self, text: str, field: str = "prompt") -> Encoded:
        """Encode a plain text; control tokens in it stay text. field: the request's, which errors name."""
        if len(text) > self.settings.max_text:
            raise InputError(f"{field}: more than the {self.settings.max_text:,} characters that one request may have")
        ids = torch.tensor(self.engine.processor.encoder.text(text), dtype=torch.int64)
        if not len(ids):
            raise InputError(f"{field}: it is empty; give some words")
        return Encoded.of_text(ids)

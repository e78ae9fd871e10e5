"""The engine in a thread of its own: many requests at once, from any thread, until it is closed.

Prompts are prepared in another thread, since hashing their images takes a while. The loop itself is `EngineCore.step`.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import torch

from pixelword.errors import InputError
from pixelword.generation.compression.options import Compression
from pixelword.generation.engine_core import EngineCore
from pixelword.generation.grammar import Grammar
from pixelword.generation.prefix_cache import PrefixCache
from pixelword.generation.request import BatchingOptions, Request, Sink
from pixelword.generation.sampling import Sampling
from pixelword.generation.sequence import Sequence
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.processing.types import Encoded

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor


class Engine:
    """Runs requests on one network until it is closed. Use as a context, or call `close`."""

    def __init__(
        self,
        model: NeoOVForConditionalGeneration,
        processor: NeoOVProcessor,
        options: BatchingOptions | None = None,
    ) -> None:
        """Raises InputError: the options are not available with this model or on this machine."""
        self.core = EngineCore(model.eval(), processor, options)
        self.model, self.processor, self.options = model, processor, self.core.options
        self.max_model_len = self.core.max_model_len
        self.core.slots.reserve(1, 256)
        self._incoming: list[Sequence] = []
        self._wake = threading.Condition()
        self._closing: Literal["no", "finish", "cancel"] = "no"
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="pixelword-prepare")
        self._thread = threading.Thread(target=self._work, name="pixelword-engine", daemon=True)
        self._thread.start()

    @property
    def prefix(self) -> PrefixCache:
        """The cache of prompts' beginnings."""
        return self.core.prefix

    @property
    def steps(self) -> int:
        """Decode steps so far."""
        return self.core.steps

    @property
    def load(self) -> tuple[int, int]:
        """(running, waiting) requests."""
        scheduler = self.core.scheduler
        return scheduler.num_slots, len(scheduler.waiting) + len(self._incoming)

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def submit(
        self,
        prompt: Encoded,
        sampling: Sampling | None = None,
        sink: Sink | None = None,
        compression: Compression | None = None,
    ) -> Request:
        """Have a prompt answered. sink: as of `Request`; called by the engine's thread, so it must be quick.

        compression: of its visual tokens, in place of the engine's own.

        Raises InputError: it does not fit into the context, or the engine is closed.
        """
        sequence = self.core.new_sequence(prompt, sampling, sink, compression=compression)
        with self._wake:
            if self._closing != "no" or not self._thread.is_alive():
                raise InputError("the engine is closed")
            self._incoming.append(sequence)
            self._preparing.submit(self._prepare, sequence)
        return sequence.request

    def check(self, prompt: Encoded, sampling: Sampling) -> None:
        """Raises InputError: `submit` would."""
        self.core.check(prompt, sampling)

    def compile(self, structure: StructuredOutputs) -> None:
        """Compile the form of an answer, which takes a while, and keep it for `submit`. Any thread may do it.

        Raises InputError: the form is not understood.
        """
        self.core.grammars.compile(structure)

    def start_compile(self, structure: StructuredOutputs) -> Future[Grammar]:
        """As `compile`, without waiting for it."""
        return self.core.grammars.submit(structure)

    def room(self, prompt: Encoded) -> int:
        """Maximum number of tokens of an answer: within `max_model_len` and the network's positions."""
        return self.core.room(prompt)

    def close(self, *, cancel: bool = True) -> None:
        """End: after what is running and waiting has its answer, or (`cancel`) at once."""
        with self._wake:
            self._closing = "cancel" if cancel else "finish"
            self._wake.notify()
        self._thread.join()
        self._preparing.shutdown(cancel_futures=True)
        self.core.runner.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _prepare(self, sequence: Sequence) -> None:
        try:
            self.core.prepare(sequence)
        except Exception as error:  # a prompt that does not fit its images: the engine ends it before its next step
            sequence.request.error = error
        with self._wake:
            sequence.ready = True
            self._wake.notify()

    def _work(self) -> None:
        with torch.inference_mode():  # of the end, too: it moves what is left in the slots
            try:
                while self._wait():
                    self.core.step()
            finally:
                with self._wake:
                    self._closing = "cancel"  # also where a step failed: nothing is taken any more
                    self._take_incoming()
                for sequence in list(self.core.sequences):
                    self.core.finish(sequence, "cancelled")

    def _take_incoming(self) -> None:
        self.core.scheduler.waiting.extend(self._incoming)
        self._incoming.clear()

    def _wait(self) -> bool:
        """Sleep while there is nothing to do; False when it is time to end."""
        scheduler = self.core.scheduler
        with self._wake:
            while True:
                self._take_incoming()
                if self._closing == "cancel":
                    return False
                if scheduler.has_work:
                    return True
                if self._closing == "finish" and not scheduler.waiting:
                    return False
                self._wake.wait()

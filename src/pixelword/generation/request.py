"""A request to the engine: what it may ask for, and its answer as it comes."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from pixelword.errors import InputError
from pixelword.generation.sampling import Sampling
from pixelword.processing.types import Encoded

Reason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class BatchingOptions:
    """How much runs together. Names are vLLM's where it has one.

    max_num_seqs: requests that run at once; others wait.
    max_model_len: tokens of prompt and answer together; the model's own context when None. More are taken as long as
        their positions are within that context, where an image or a frame takes one step.
    max_num_batched_tokens: prompt tokens read between two steps; an image is never cut, so it may be more.
    prefix_bytes: memory for what was read before.
    num_speculative_tokens: longest guess, 0 for none.
    quantization: "int8" to hold the weights in half of bf16's bytes, rounded; the model can do nothing else then.
    pack: hold the weights in the order that a CPU reads fastest; None where that pays.
    compile: compile the steps at the start (a minute, the first time), for which a C++ compiler must be there.
    """

    max_num_seqs: int = 16
    max_model_len: int | None = None
    max_num_batched_tokens: int = 1024
    prefix_bytes: int = 512 << 20
    num_speculative_tokens: int = 4
    quantization: Literal["int8"] | None = None
    pack: bool | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        if self.max_num_seqs < 1 or self.max_num_batched_tokens < 1:
            raise InputError("max_num_seqs and max_num_batched_tokens must be at least 1")
        if self.num_speculative_tokens < 0 or self.prefix_bytes < 0:
            raise InputError("num_speculative_tokens and prefix_bytes must be 0 or above")


@dataclass(frozen=True)
class Token:
    """One token of an answer: its id, the text that it made certain, and, where requested, its logarithmic probability
    and the likeliest ones'."""

    id: int
    text: str
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass
class Usage:
    """What a request cost. cached_tokens: of the prompt, taken from the prefix cache. Times in seconds."""

    prompt_tokens: int
    visual_tokens: int
    cached_tokens: int = 0
    completion_tokens: int = 0
    accepted_draft_tokens: int = 0
    queue_time: float = 0.0
    first_token: float = 0.0
    total: float = 0.0


#: Called by the engine's thread with each token, then with None; it must be quick.
Listener = Callable[[Token | None], None]


@dataclass(eq=False)
class Request:
    """A request and its answer as it comes. Iterating gives its tokens; `cancel` frees its place at once.

    logprobs: of its tokens, where requested.
    stop_reason: the stop string or stop token that ended it; None where the model's own end or the length did.
    """

    prompt: Encoded
    sampling: Sampling
    usage: Usage
    listener: Listener | None = None
    reason: Reason | None = None
    stop_reason: str | int | None = None
    error: BaseException | None = None
    text: str = ""
    logprobs: list[float] = field(default_factory=list)
    _tokens: queue.SimpleQueue[Token | None] = field(default_factory=queue.SimpleQueue)
    cancelled: bool = False
    submitted: float = field(default_factory=time.perf_counter)

    def cancel(self) -> None:
        """End it; tokens that came stay. Any thread may call this."""
        self.cancelled = True

    def __iter__(self) -> Iterator[Token]:
        """Tokens as they come, once. Raises what the engine failed with."""
        while (token := self._tokens.get()) is not None:
            yield token
        if self.error is not None:
            raise self.error

    def result(self) -> str:
        """The whole text, when it is there."""
        for _ in self:
            pass
        return self.text

    def emit(self, token: Token | None) -> None:
        """The engine's word: one more token, or None for the end."""
        if token is not None:
            self.text += token.text
            if token.logprob is not None:
                self.logprobs.append(token.logprob)
        self._tokens.put(token)
        if self.listener is not None:
            self.listener(token)

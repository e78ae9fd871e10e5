"""A request to the engine: a prompt, how to answer it, and the answer's tokens as they come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from pixelword.checkpoints.names import Quantization
from pixelword.errors import InputError
from pixelword.generation.compression.options import Compression
from pixelword.generation.late_options import LateReading
from pixelword.generation.sampling import Sampling
from pixelword.processing.types import Encoded

Reason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class BatchingOptions:
    """Limits of batching, under vLLM's names where it has them.

    max_num_seqs: requests that run at once; others wait.
    max_model_len: tokens of prompt and answer together; the model's own context when None. More are taken as long as
        their positions are within that context, where an image or a frame takes one step.
    max_num_batched_tokens: prompt tokens read between two steps; an image is never cut, so it may be more.
    prefix_bytes: memory for what was read before.
    num_speculative_tokens: longest guess, 0 for none.
    quantization: "int8" or "int4" to hold the weights in a half or a quarter of bf16's bytes, rounded; the model can do
        nothing else then.
    pack: hold the weights in the order that a CPU reads fastest; None where that pays.
    compression: of the visual tokens of every request that brings none of its own; such prompts are read by themselves,
        and nothing of them is cached for others.
    late_reading: leave to read text and images apart in the pre-buffer: images' states are cached by content, wherever
        they stand, and their keys there are not kept.
    compile: compile the steps at the start (a minute, the first time), for which a C++ compiler must be there.
    """

    max_num_seqs: int = 16
    max_model_len: int | None = None
    max_num_batched_tokens: int = 1024
    prefix_bytes: int = 512 << 20
    num_speculative_tokens: int = 4
    quantization: Quantization | None = None
    pack: bool | None = None
    compile: bool = False
    compression: Compression | None = None
    late_reading: LateReading | None = None

    def __post_init__(self) -> None:
        if self.max_num_seqs < 1 or self.max_num_batched_tokens < 1:
            raise InputError("max_num_seqs and max_num_batched_tokens must be at least 1")
        if self.num_speculative_tokens < 0 or self.prefix_bytes < 0:
            raise InputError("num_speculative_tokens and prefix_bytes must be 0 or above")
        if self.late_reading is not None and (self.compile or self.compression is not None):
            raise InputError("late_reading goes with neither compile nor compression: leave out one of them")


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
    """What a request cost; times in seconds.

    cached_tokens: of the prompt, taken from the prefix cache.
    accepted_draft_tokens: of the answer, proposed by prompt lookup and verified.
    peak_cached_tokens: the most tokens whose keys and values were cached at once.
    """

    prompt_tokens: int
    visual_tokens: int
    cached_tokens: int = 0
    completion_tokens: int = 0
    accepted_draft_tokens: int = 0
    peak_cached_tokens: int = 0
    queue_time: float = 0.0
    first_token: float = 0.0
    total: float = 0.0


#: Called with each token of an answer, in the order of the answer, then once with None, when the request has ended. It
#: runs between two steps of the engine, in the engine's thread, and must be quick.
Sink = Callable[[Token | None], None]


class TokenQueue:
    """A sink to be iterated over by another thread than the engine's: each token as it comes, once."""

    def __init__(self) -> None:
        self._tokens: queue.SimpleQueue[Token | None] = queue.SimpleQueue()

    def __call__(self, token: Token | None) -> None:
        self._tokens.put(token)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens.get, None)


@dataclass(eq=False)
class Request:
    """A prompt that is being answered.

    Attributes:
        sink: Where its tokens go; by default a queue, which makes the request itself an iterator over them.
        max_cached_frames: As in `LongInputs`: of the prompt's video frames, how many keep their keys and values.
        compression: Of its visual tokens; None for none.
        token_ids: The answer's tokens so far, including the end token.
        logprobs: Of these tokens, where `sampling.logprobs` is set.
        reason: Why it ended; None while it goes on.
        stop_reason: The stop string or stop token that ended it; None where the model's own end or the length did.
        error: What it failed with.
        cancelled: `cancel` was called; the engine ends it before its next step.
    """

    prompt: Encoded
    sampling: Sampling
    usage: Usage
    sink: Sink = field(default_factory=TokenQueue)
    max_cached_frames: int | None = None
    compression: Compression | None = None
    reason: Reason | None = None
    stop_reason: str | int | None = None
    error: BaseException | None = None
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    cancelled: bool = False
    submitted: float = field(default_factory=time.perf_counter)
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def seconds(self) -> float:
        """Since it was submitted."""
        return time.perf_counter() - self.submitted

    def cancel(self) -> None:
        """End it; tokens that came stay. Any thread may call this."""
        self.cancelled = True

    def __iter__(self) -> Iterator[Token]:
        """Tokens as they come, once. Raises what the request failed with; TypeError: its tokens go to another sink."""
        if not isinstance(self.sink, TokenQueue):
            raise TypeError("the tokens of this request go to the sink that it was submitted with")
        yield from self.sink
        self.raise_error()

    def result(self) -> str:
        """Wait for the end and return the full text. Raises the request's error."""
        self._ended.wait()
        self.raise_error()
        return self.text

    def raise_error(self) -> None:
        """Raise what it failed with, if it did."""
        if self.error is not None:
            raise self.error

    def emit(self, token: Token) -> None:
        """Add a token to the answer. For the engine."""
        self.text += token.text
        self.token_ids.append(token.id)
        if token.logprob is not None:
            self.logprobs.append(token.logprob)
        self.sink(token)

    def finish(self, reason: Reason) -> None:
        """End it. For the engine."""
        self.reason = reason
        self.usage.total = self.seconds
        try:
            self.sink(None)
        finally:
            self._ended.set()

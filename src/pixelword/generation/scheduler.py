"""Which requests run, and what each step of the engine computes: a plan, as data. Knows nothing of weights or tensors.

First come, first served. A step prefills one chunk of the oldest prompt that is not read yet (or the text-only ends of
several, which fit into one pass) and then decodes every request whose prompt is read. Slots of the key-value buffers
follow from the order: running requests have the first ones, those in prefill the next, without a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar


class Status(Enum):
    """Where a request stands."""

    WAITING = "waiting"
    PREFILL = "prefill"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(eq=False)
class Schedulable:
    """A request as the scheduler sees it.

    Attributes:
        num_prompt_tokens: Length of the prompt.
        images: Tokens [start, stop) of each image of the prompt, which no chunk cuts.
        chunked: Whether the prompt may be read in several chunks.
        ready: Whether it may be admitted. Those behind one that is not ready wait, too.
        num_computed_tokens: Tokens whose keys and values are in its slot.
        slot: Row of the key-value buffers; None while it has none.
    """

    num_prompt_tokens: int
    images: tuple[tuple[int, int], ...] = ()
    chunked: bool = True
    ready: bool = True
    num_computed_tokens: int = 0
    slot: int | None = None
    status: Status = field(default=Status.WAITING)

    @property
    def num_remaining_tokens(self) -> int:
        """Tokens of the prompt that are to be read."""
        return self.num_prompt_tokens - self.num_computed_tokens

    @property
    def only_text_remains(self) -> bool:
        """Whether no image of the prompt is to be read any more."""
        return not self.images or self.images[-1][1] <= self.num_computed_tokens


S = TypeVar("S", bound=Schedulable)


@dataclass(frozen=True)
class PrefillChunk(Generic[S]):
    """Tokens [start, stop) of a request's prompt."""

    request: S
    start: int
    stop: int

    @property
    def is_last(self) -> bool:
        """Whether the prompt is read with it."""
        return self.stop == self.request.num_prompt_tokens


@dataclass(frozen=True)
class StepPlan(Generic[S]):
    """One step of the engine.

    Attributes:
        admitted: Requests that got a slot, `num_computed_tokens` of whose prompts are to be restored from the cache.
        prefill: Chunks that are read in one pass; several only where each is the end of its prompt.
        decode: Requests that get a further token after that, by slot; those whose prefill ends in this step last.
    """

    admitted: tuple[S, ...]
    prefill: tuple[PrefillChunk[S], ...]
    decode: tuple[S, ...]


@dataclass(frozen=True)
class SlotMove:
    """Copy the first `length` tokens of a slot over those of another."""

    source: int
    target: int
    length: int


class Scheduler(Generic[S]):
    """Queues of waiting, prefilling and running requests.

    Args:
        max_num_seqs: Requests that have a slot at once.
        max_num_batched_tokens: Prompt tokens read in a step, padding included; an image is never cut, so a single chunk
            may be longer.
        cached_tokens: Of a request that is admitted, the tokens at the prompt's start that need not be read.
        kernel: What reads this many tokens; only prompts of one kind share a pass.
        images_may_share: Whether the ends of several prompts may share a pass where they have images, too.
    """

    def __init__(
        self,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        cached_tokens: Callable[[S], int] = lambda request: 0,
        kernel: Callable[[int], Hashable] = lambda tokens: None,
        images_may_share: bool = False,
    ) -> None:
        self.max_num_seqs, self.max_num_batched_tokens = max_num_seqs, max_num_batched_tokens
        self._cached_tokens, self._kernel, self._images_may_share = cached_tokens, kernel, images_may_share
        self.waiting: deque[S] = deque()
        self.prefilling: list[S] = []
        self.running: list[S] = []  # place in the list = slot

    @property
    def num_slots(self) -> int:
        """Slots in use: the first ones."""
        return len(self.running) + len(self.prefilling)

    @property
    def has_work(self) -> bool:
        """Whether `plan` has something to compute."""
        return bool(self.num_slots or (self.waiting and self.waiting[0].ready))

    def add(self, request: S) -> None:
        """Put a request at the end of the queue."""
        self.waiting.append(request)

    def plan(self) -> StepPlan[S]:
        """Admit waiting requests, and choose what the next step computes."""
        admitted = self._admit()
        prefill = self._next_prefill()
        return StepPlan(admitted, prefill, (*self.running, *(chunk.request for chunk in prefill if chunk.is_last)))

    def _admit(self) -> tuple[S, ...]:
        """In order, until one has more to read than can be read together with others."""
        admitted: list[S] = []
        while self.num_slots < self.max_num_seqs and all(map(self._may_share, self.prefilling)):
            if not self.waiting or not self.waiting[0].ready:
                break
            request = self.waiting.popleft()
            request.slot, request.status = self.num_slots, Status.PREFILL
            request.num_computed_tokens = self._cached_tokens(request)
            self.prefilling.append(request)
            admitted.append(request)
        return tuple(admitted)

    def _next_prefill(self) -> tuple[PrefillChunk[S], ...]:
        if not self.prefilling:
            return ()
        first, *others = self.prefilling
        group, widest, kernel = [first], first.num_remaining_tokens, self._kernel(first.num_remaining_tokens)
        for request in others if self._may_share(first) else ():
            widest = max(widest, request.num_remaining_tokens)
            fits = widest * (len(group) + 1) <= self.max_num_batched_tokens
            if not fits or not self._may_share(request) or self._kernel(request.num_remaining_tokens) != kernel:
                break
            group.append(request)
        return tuple(PrefillChunk(item, item.num_computed_tokens, self._chunk_end(item)) for item in group)

    def _may_share(self, request: S) -> bool:
        """Whether what is left of its prompt can be read in one pass with that of others."""
        small = request.num_remaining_tokens <= self.max_num_batched_tokens
        return small and request.chunked and (self._images_may_share or request.only_text_remains)

    def _chunk_end(self, request: S) -> int:
        if not request.chunked:
            return request.num_prompt_tokens
        stop = min(request.num_computed_tokens + self.max_num_batched_tokens, request.num_prompt_tokens)
        return next((end for start, end in request.images if start < stop < end), stop)

    def prefilled(self, chunk: PrefillChunk[S]) -> None:
        """A chunk of the plan was read: its request starts to decode, or goes on with the next chunk."""
        request = chunk.request
        request.num_computed_tokens = chunk.stop
        if chunk.is_last:
            assert request is self.prefilling[0], "prompts end in the order in which they were admitted"
            self.running.append(self.prefilling.pop(0))
            request.status = Status.RUNNING

    def finish(self, request: S) -> list[SlotMove]:
        """End a request wherever it is. Returns the copies, in order, that close the gap which its slot leaves."""
        before, request.status = request.status, Status.FINISHED
        moves: list[SlotMove] = []
        behind = 0
        if before is Status.WAITING:
            self.waiting.remove(request)
        elif before is Status.PREFILL:
            behind = self.prefilling.index(request)
            del self.prefilling[behind]
        elif before is Status.RUNNING:
            last = self.running.pop()
            if last is not request:
                assert request.slot is not None
                self.running[request.slot] = last
                moves.append(self._move(last, request.slot))
        if before in (Status.PREFILL, Status.RUNNING):
            for place in range(behind, len(self.prefilling)):
                moves.append(self._move(self.prefilling[place], len(self.running) + place))
        request.slot = None
        return moves

    @staticmethod
    def _move(request: S, target: int) -> SlotMove:
        assert request.slot is not None
        move = SlotMove(request.slot, target, request.num_computed_tokens)
        request.slot = target
        return move

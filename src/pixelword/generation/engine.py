"""Many requests, one network: they join and leave a running batch, and share what was read before.

One thread owns the network. A request's prompt is read in chunks between the others' steps, its beginning taken from
the prefix cache where it is known; what is left of several prompts is read at once where it is words alone. Then each
step gives every running request its next token, or several where a guess was right. Greedy answers are those of
`generate`, whoever else is running.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import torch

from pixelword.errors import InputError
from pixelword.generation.constraints import Chooser
from pixelword.generation.detokenizer import AnswerText
from pixelword.generation.kv_slots import KVSlots
from pixelword.generation.model_runner import ModelRunner
from pixelword.generation.prefix_cache import PrefixCache, extend_blocks, prefix_blocks
from pixelword.generation.prompt_lookup import propose
from pixelword.generation.request import BatchingOptions, Listener, Reason, Request, Usage
from pixelword.generation.sampling import Sampling
from pixelword.generation.sequence import Running
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
        self.model, self.processor = model.eval(), processor
        self.options = options or BatchingOptions()
        text = model.config.get_text_config()
        self._context = text.max_position_embeddings
        self.max_model_len = self.options.max_model_len or self._context
        self.prefix = PrefixCache(self.options.prefix_bytes)
        self.rows = KVSlots(text.num_hidden_layers)
        self.steps = 0
        self._network = ModelRunner(model, self.rows, self.options)
        self._ends = _end_tokens(model, processor)
        self._waiting: deque[tuple[Request, Future[Running]]] = deque()
        self._running: list[Running] = []  # number in the list = row
        self._reading: list[Running] = []  # they have the rows after the running ones
        self._wake = threading.Condition()
        self._closing: Literal["no", "finish", "cancel"] = "no"
        self._seats = ThreadPoolExecutor(1, thread_name_prefix="pixelword-seats")
        self._thread = threading.Thread(target=self._work, name="pixelword-engine", daemon=True)
        self._thread.start()

    # for every thread

    def submit(self, prompt: Encoded, sampling: Sampling | None = None, listener: Listener | None = None) -> Request:
        """Have a prompt answered. listener: called by the engine's thread with each token, then None; must be quick.

        Raises InputError: it does not fit into the context, or the engine is closed.
        """
        sampling = sampling or Sampling()
        visual = self.check(prompt, sampling)
        one = Request(prompt, sampling, Usage(len(prompt), visual), listener)
        with self._wake:
            if self._closing != "no" or not self._thread.is_alive():
                raise InputError("the engine is closed")
            seat = self._seats.submit(self._seat, one)
            self._waiting.append((one, seat))
        seat.add_done_callback(lambda _: self._notify())
        return one

    def check(self, prompt: Encoded, sampling: Sampling) -> int:
        """Visual tokens of a prompt. Raises InputError: with its answer it does not fit into the context, or `sampling`
        names tokens that the model does not have."""
        visual = prompt.visual_tokens
        sampling.check_tokens(self.model.config.get_text_config().vocab_size)
        if sampling.max_new_tokens > self.room(prompt):
            raise InputError(
                f"the prompt has {len(prompt):,} tokens ({visual:,} of them visual) and the answer may have "
                f"{sampling.max_new_tokens:,}, which is more than the context of "
                f"{min(self.max_model_len, self._context):,}: lower max_tokens, max_pixels or the number of pictures"
            )
        return visual

    def room(self, prompt: Encoded) -> int:
        """Tokens that an answer may have: within `max_model_len`, and at positions that the network knows. An image
        takes one step of t however many tokens it has, so a long video's may be more than the context."""
        steps = len(prompt) - prompt.visual_tokens + len(prompt.images)
        return min(self.max_model_len - len(prompt), self._context - steps)

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    @property
    def load(self) -> tuple[int, int]:
        """(running, waiting) requests."""
        return len(self._running) + len(self._reading), len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def close(self, *, cancel: bool = True) -> None:
        """End: after what is running and waiting has its answer, or (`cancel`) at once."""
        with self._wake:
            self._closing = "cancel" if cancel else "finish"
            self._wake.notify()
        self._thread.join()
        self._seats.shutdown(cancel_futures=True)
        self._network.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # for the engine's own thread

    def _work(self) -> None:
        try:
            with torch.inference_mode():
                while self._wait():
                    self._drop_cancelled()
                    self._admit()
                    if self._reading:
                        self._guarded(self._next_read(), self._read_on)
                    if self._running:
                        self._guarded(self._running, self._step)
        finally:
            for one in (*(one for one, _ in self._waiting), *(r.one for r in self._everyone())):
                self._end(one, "cancelled")

    def _wait(self) -> bool:
        """Sleep while there is nothing to do; False when it is time to end."""
        with self._wake:
            while not (self._running or self._reading or (self._waiting and self._waiting[0][1].done())):
                if self._closing == "cancel" or (self._closing == "finish" and not self._waiting):
                    return False
                self._wake.wait()
            return self._closing != "cancel"

    def _guarded(self, concerned: list[Running], work: Callable[[list[Running]], None]) -> None:
        """A failure of the network ends those it concerns, and nobody else."""
        try:
            work(concerned)
        except Exception as error:
            for one in list(concerned):
                one.one.error = error
                self._leave(one, "cancelled")

    def _everyone(self) -> list[Running]:
        return [*self._running, *self._reading]

    def _drop_cancelled(self) -> None:
        for running in [r for r in self._everyone() if r.one.cancelled]:
            self._leave(running, "cancelled")
        with self._wake:
            gone = [one for one, _ in self._waiting if one.cancelled]
            self._waiting = deque(pair for pair in self._waiting if not pair[0].cancelled)
        for one in gone:
            self._end(one, "cancelled")

    def _admit(self) -> None:
        """Give those waiting a row, in order, until one has more to read than can be read with others."""
        while len(self._everyone()) < self.options.max_num_seqs and all(map(self._joins, self._reading)):
            with self._wake:
                if not self._waiting or not self._waiting[0][1].done():
                    return
                one, seat = self._waiting.popleft()
            self._give_row(one, seat)

    def _give_row(self, one: Request, seat: Future[Running]) -> None:
        """Its prompt is read from where the prefix cache ends."""
        one.usage.queue_time = time.perf_counter() - one.submitted
        try:
            running = seat.result()
            row = self.rows.add()
            running.read = self.prefix.restore(running.pieces, running.prompt_length, self.rows, row)
            one.usage.cached_tokens = running.read
            self._reading.append(running)
        except Exception as error:  # a prompt that does not fit its images, or no memory for it
            self.rows.used = len(self._everyone())
            one.error = error
            self._end(one, "cancelled")

    def _seat(self, one: Request) -> Running:
        """What a request needs beside its row; in a thread of its own, since hashing images takes a while."""
        prompt = one.prompt
        grid = prompt.image_grid_hw if len(prompt.image_grid_hw) else None
        positions, _ = self.model.get_rope_index(prompt.input_ids[None], grid, None, prompt.mm_token_type_ids[None])
        sampling, encoder = one.sampling, self.processor.encoder
        answer = AnswerText(encoder.decode, sampling, self._ends)
        choose = Chooser(sampling, len(prompt), self._ends, encoder.answer)
        return Running(one, choose, answer, positions, prefix_blocks(prompt), prompt.input_ids.tolist())

    def _joins(self, running: Running) -> bool:
        """Whether what is left of its prompt can be read at once with others'."""
        return running.left <= self.options.max_num_batched_tokens and running.only_words_left

    def _next_read(self) -> list[Running]:
        """The first of those whose prompts are being read, with those after it that fit into the same pass."""
        first, *others = self._reading
        group, widest, kernel = [first], first.left, self._network.kernel(first.left)
        for running in others if self._joins(first) else ():
            widest = max(widest, running.left)
            fits = widest * (len(group) + 1) <= self.options.max_num_batched_tokens
            if not fits or not self._joins(running) or self._network.kernel(running.left) != kernel:
                break
            group.append(running)
        return group

    def _read_on(self, group: list[Running]) -> None:
        """The ends of several prompts, or one chunk of one; who is through gets a first token and joins the others."""
        row = len(self._running)
        if len(group) > 1:
            try:
                logits = self._network.prefill_batch([(r.one.prompt, r.positions, r.read) for r in group], row)
            except Exception:  # by one of them: whose error it is shows when each is read alone
                for running in group:
                    self._guarded([running], self._read_on)
                return
        else:
            (running,) = group
            start, stop = running.read, self._chunk_end(running)
            logits = self._network.prefill(running.one.prompt, running.positions, row, start, stop)[:, -1]
            running.read = stop
            if running.left:
                return
        for place, running in enumerate(group):
            running.read = running.prompt_length
            self.prefix.store(running.pieces, self.rows, row + place)
            running.one.usage.first_token = time.perf_counter() - running.one.submitted
        del self._reading[: len(group)]
        self._running += group
        self._leave_all([(r, r.take(scores[None])) for r, scores in zip(group, logits, strict=True)])

    def _chunk_end(self, running: Running) -> int:
        """Where the chunk ends: never inside an image."""
        stop = min(running.read + self.options.max_num_batched_tokens, running.prompt_length)
        return next((image.stop for image in running.one.prompt.images if image.start < stop < image.stop), stop)

    def _step(self, everyone: list[Running]) -> None:
        """The next token of every running request, and those of its guess that were right."""
        guesses = [self._guess(running) for running in everyone]
        width = 1 + max(map(len, guesses))
        device = self.model.device
        new = [[r.tokens[-1], *g, *[0] * (width - 1 - len(g))] for r, g in zip(everyone, guesses, strict=True)]
        starts = torch.tensor([running.read for running in everyone], device=device)
        first = torch.tensor([running.next_position for running in everyone], device=device)
        logits = self._network.decode(torch.tensor(new, device=device), first, starts)
        self.steps += 1
        taken: list[tuple[Running, Reason | None]] = []
        for running, guessed, scores in zip(everyone, guesses, logits, strict=True):
            running.read += 1
            taken.append((running, running.take(scores[: 1 + len(guessed)], guessed)))
        self._leave_all(taken)

    def _guess(self, running: Running) -> list[int]:
        left = running.one.sampling.max_new_tokens - running.one.usage.completion_tokens - 1
        most = min(self.options.num_speculative_tokens, left)
        return propose(running.tokens, most) if most > 0 and running.one.sampling.greedy else []

    def _leave_all(self, taken: list[tuple[Running, Reason | None]]) -> None:
        """Those whose answers ended. Slots move when one leaves: not before all know what they have read."""
        for running, reason in taken:
            if reason is not None:
                self._leave(running, reason)

    def _leave(self, running: Running, reason: Reason) -> None:
        """End a request that has a row, keep what it read, and close the gap: the last running one takes its place, and
        all that are read after it move up."""
        if running in self._reading:
            place = self._reading.index(running)
            del self._reading[place]
        else:
            place, row = 0, self._running.index(running)
            if running.one.error is None:
                known = extend_blocks(running.pieces, running.tokens)
                self.prefix.store([piece for piece in known if piece.stop <= running.read], self.rows, row)
            last = self._running.pop()
            if last is not running:
                self.rows.move(len(self._running), row, last.read)
                self._running[row] = last
        for number, one in enumerate(self._reading[place:], len(self._running) + place):
            self.rows.move(number + 1, number, one.read)
        self.rows.used -= 1
        self._end(running.one, reason)

    def _end(self, one: Request, reason: Reason) -> None:
        one.reason = reason
        one.usage.total = time.perf_counter() - one.submitted
        one.emit(None)


def _end_tokens(model: NeoOVForConditionalGeneration, processor: NeoOVProcessor) -> frozenset[int]:
    """Tokens that end an answer."""
    found = model.generation_config.eos_token_id
    found = processor.tokenizer.eos_token_id if found is None else found
    return frozenset([found] if isinstance(found, int) else found or [])

"""The one loop: plan a step, run the network, sample, emit. It belongs to the thread that calls `step`.

`Session` steps through it in the caller's thread, `engine.Engine` in a thread of its own. Greedy answers are those of
transformers' `generate`, whatever else is running.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.compression.options import Compression
from pixelword.generation.compression.prefill import CompressedPrefill
from pixelword.generation.grammar import GrammarCompiler
from pixelword.generation.kv_slots import KVSlots
from pixelword.generation.late_reading import ImageStates, LatePrefill
from pixelword.generation.limits import answer_room, context_length, end_tokens
from pixelword.generation.long_context.frame_eviction import EvictingPrefill, frames_of
from pixelword.generation.model_runner import ModelRunner
from pixelword.generation.prefix_cache import PrefixCache, extend_blocks
from pixelword.generation.prompt_lookup import propose
from pixelword.generation.request import BatchingOptions, Reason, Request, Sink, TokenQueue, Usage
from pixelword.generation.sampling import Sampling
from pixelword.generation.scheduler import PrefillChunk, Scheduler, Status
from pixelword.generation.sequence import Sequence
from pixelword.processing.types import Encoded

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor


def grammar_compiler(model: NeoOVForConditionalGeneration, processor: NeoOVProcessor) -> GrammarCompiler:
    """For the forms of a model's answers."""
    return GrammarCompiler(processor, model.config.get_text_config().vocab_size, end_tokens(model, processor))


class EngineCore:
    """Scheduler, key-value slots and network, and the step that joins them.

    Attributes:
        steps: Decode steps so far.
        prefix: The prefix cache.
    """

    def __init__(
        self,
        model: NeoOVForConditionalGeneration,
        processor: NeoOVProcessor,
        options: BatchingOptions | None = None,
        *,
        padded_prefill: bool = False,
        grammars: GrammarCompiler | None = None,
    ) -> None:
        """padded_prefill: read several prompts in one padded pass, images included: faster, where no prompt's keys and
        values are reused and so the last bits of sums may depend on its company. grammars: of `grammar_compiler`, to be
        shared with other engines of the model.

        Raises InputError: the options are not available with this model or on this machine.
        """
        self.model, self.processor = model, processor
        self.options = options or BatchingOptions()
        self.context = context_length(model)
        self.max_model_len = self.options.max_model_len or self.context
        self.prefix = PrefixCache(self.options.prefix_bytes)
        text = model.config.get_text_config()
        self.slots = KVSlots(text.num_hidden_layers, text.extra_num_layers)
        late = self.options.late_reading
        if late is not None and not text.extra_num_layers:
            raise InputError("late_reading: this model has no pre-buffer")
        self.image_states = None if late is None else ImageStates(model, late.image_bytes)
        self.runner = ModelRunner(model, self.slots, self.options)
        self.scheduler: Scheduler[Sequence] = Scheduler(
            self.options.max_num_seqs,
            self.options.max_num_batched_tokens,
            self._cached_tokens,
            (lambda tokens: None) if padded_prefill else self.runner.kernel,
            images_may_share=padded_prefill,
        )
        self._prefill_several = self.runner.prefill_padded if padded_prefill else self.runner.prefill_batch
        self.steps = 0
        self._ends = end_tokens(model, processor)
        self.grammars = grammars or grammar_compiler(model, processor)

    # requests

    def new_sequence(
        self,
        prompt: Encoded,
        sampling: Sampling | None = None,
        sink: Sink | None = None,
        max_cached_frames: int | None = None,
        compression: Compression | None = None,
    ) -> Sequence:
        """A request that is checked, but neither prepared nor queued. Raises InputError as `check`."""
        sampling = sampling or Sampling()
        evicts = max_cached_frames is not None and max_cached_frames < len(frames_of(prompt))
        self.check(prompt, sampling, evicts=evicts)
        compression = compression or self.options.compression
        if compression is not None and (evicts or not prompt.images or compression.keeps_all):
            compression = None  # frames are evicted instead, or there is nothing to drop
        usage = Usage(len(prompt), prompt.visual_tokens)
        request = Request(prompt, sampling, usage, sink or TokenQueue(), max_cached_frames, compression)
        late = self.image_states is not None and bool(prompt.images)
        if late and compression is not None:
            raise InputError(
                "compression: this engine reads images late, which keeps all of their tokens: leave it out"
            )
        return Sequence(request, evicts=evicts or compression is not None or late)

    def prepare(self, sequence: Sequence) -> None:
        """All that a request needs before it is admitted; any thread may do it. Raises as `Sequence.prepare`."""
        caches = self.options.prefix_bytes > 0
        sequence.prepare(self.model, self.processor.encoder, self._ends, self.grammars, cached=caches)

    def add(
        self,
        prompt: Encoded,
        sampling: Sampling | None = None,
        sink: Sink | None = None,
        max_cached_frames: int | None = None,
        compression: Compression | None = None,
    ) -> Request:
        """Queue a request. Raises InputError: it does not fit into the context, or its sampling cannot be met."""
        sequence = self.new_sequence(prompt, sampling, sink, max_cached_frames, compression)
        self.prepare(sequence)
        self.scheduler.add(sequence)
        return sequence.request

    def check(self, prompt: Encoded, sampling: Sampling, *, evicts: bool = False) -> None:
        """Raises InputError: with its answer the prompt does not fit into the context, or `sampling` names tokens that
        the model does not have."""
        sampling.check_tokens(self.model.config.get_text_config().vocab_size)
        if sampling.max_new_tokens > self.room(prompt, evicts=evicts):
            raise InputError(
                f"the prompt has {len(prompt):,} tokens ({prompt.visual_tokens:,} of them visual) and the answer may "
                f"have {sampling.max_new_tokens:,}, which is more than the context of "
                f"{min(self.max_model_len, self.context):,}: lower max_tokens, max_pixels or the number of images"
            )

    def room(self, prompt: Encoded, *, evicts: bool = False) -> int:
        """Tokens that an answer may have; see `answer_room`."""
        return answer_room(prompt, self.context, self.max_model_len, evicts=evicts)

    @property
    def sequences(self) -> Iterator[Sequence]:
        """Everything that has not ended."""
        return chain(self.scheduler.waiting, self.scheduler.prefilling, self.scheduler.running)

    # the loop

    def run(self) -> None:
        """Step until every request has ended. Their errors are theirs: see `Request.raise_error`."""
        while self.scheduler.has_work:
            self.step()

    def step(self) -> None:
        """Read the next chunk of a prompt, if any, and decode a token, or several, of every running request."""
        for sequence in [item for item in self.sequences if item.request.cancelled or item.request.error is not None]:
            self.finish(sequence, "cancelled")
        plan = self.scheduler.plan()
        for sequence in plan.admitted:
            self._restore(sequence)
        chunks = [chunk for chunk in plan.prefill if chunk.request.status is Status.PREFILL]
        if chunks:
            self._prefill(chunks)
        running = [sequence for sequence in plan.decode if sequence.status is Status.RUNNING]
        if running:
            self._decode(running)

    def _cached_tokens(self, sequence: Sequence) -> int:
        return self.prefix.lookup(sequence.blocks, sequence.num_prompt_tokens)

    def _restore(self, sequence: Sequence) -> None:
        """Copy what the prefix cache has of its prompt into its slot."""
        usage = sequence.request.usage
        usage.queue_time = sequence.request.seconds
        usage.cached_tokens = sequence.num_computed_tokens
        assert sequence.slot is not None
        try:
            self.slots.reserve(sequence.slot + 1, 0)
            self.prefix.restore(sequence.blocks, sequence.num_computed_tokens, self.slots, sequence.slot)
        except Exception as error:  # no memory for it
            self._fail([sequence], error)

    def _prefill(self, chunks: list[PrefillChunk[Sequence]]) -> None:
        """Read the chunks; requests whose prompts end with them get a first token. A failure ends the one it is of."""
        try:
            logits = self._prefill_logits(chunks)
        except Exception as error:
            if len(chunks) == 1:
                self._fail([chunks[0].request], error)
            for chunk in chunks if len(chunks) > 1 else ():  # whose error it is shows when each is read alone
                self._prefill([chunk])
            return
        ready: list[tuple[Sequence, Tensor, list[int]]] = []
        for chunk, scores in zip(chunks, logits, strict=True):
            sequence = chunk.request
            self.scheduler.prefilled(chunk)
            if sequence.evicts:
                sequence.num_computed_tokens = sequence.num_kept_tokens
            if chunk.is_last:
                assert sequence.slot is not None
                self.prefix.store(sequence.blocks, self.slots, sequence.slot)
                sequence.request.usage.first_token = sequence.request.seconds
                ready.append((sequence, scores[None], []))
        self._sample(ready)

    def _prefill_logits(self, chunks: list[PrefillChunk[Sequence]]) -> Tensor:
        """(chunks, vocabulary): after the last token of each."""
        first = chunks[0].request
        assert first.slot is not None
        if len(chunks) > 1:
            prompts = [(chunk.request.request.prompt, chunk.request.positions, chunk.start) for chunk in chunks]
            return self._prefill_several(prompts, first.slot)
        if first.evicts:
            return self._prefill_evicting(first, first.slot)[None]
        prompt, start, stop = first.request.prompt, chunks[0].start, chunks[0].stop
        return self.runner.prefill(prompt, first.positions, first.slot, start, stop)[:, -1]

    def _prefill_evicting(self, sequence: Sequence, slot: int) -> Tensor:
        """Read a whole prompt, of whose frames or visual tokens few stay cached, and copy what stays into its slot."""
        request = sequence.request
        reader: CompressedPrefill | EvictingPrefill | LatePrefill
        if self.image_states is not None and request.max_cached_frames is None:
            reader = LatePrefill(self.model, request.prompt, self.image_states)
            sequence.num_dropped_tokens = request.prompt.visual_tokens
        elif request.compression is not None:
            reader = CompressedPrefill(self.model, request.prompt, request.compression)
        else:
            assert request.max_cached_frames is not None
            reader = EvictingPrefill(self.model, request.prompt, frames_of(request.prompt), request.max_cached_frames)
        logits = reader.read_whole()
        self.slots.put(slot, 0, [(layer.keys[0], layer.values[0]) for layer in reader.cache.layers])
        sequence.num_kept_tokens = len(reader.held)
        request.usage.peak_cached_tokens = reader.peak_tokens
        return logits

    def _decode(self, running: list[Sequence]) -> None:
        """The next token of every running request, and those of its draft that the network confirms."""
        try:
            drafts = [self._draft(sequence) for sequence in running]
            width = 1 + max(map(len, drafts))
            device = self.model.device
            ids = [
                [sequence.tokens[-1], *draft, *[0] * (width - 1 - len(draft))]
                for sequence, draft in zip(running, drafts, strict=True)
            ]
            starts = torch.tensor([sequence.num_computed_tokens for sequence in running], device=device)
            first = torch.tensor([sequence.next_position for sequence in running], device=device)
            for sequence, draft in zip(running, drafts, strict=True):
                if sequence.matcher is not None:
                    sequence.matcher.look_ahead(draft)
            dropped = torch.tensor([sequence.num_dropped_tokens for sequence in running], device=device)
            logits = self.runner.decode(
                torch.tensor(ids, device=device), first, starts, dropped if bool(dropped.any()) else None
            )
        except Exception as error:
            return self._fail(running, error)
        self.steps += 1
        for sequence in running:
            sequence.num_computed_tokens += 1
        self._sample(
            [
                (sequence, scores[: 1 + len(draft)], draft)
                for sequence, scores, draft in zip(running, logits, drafts, strict=True)
            ]
        )

    def _draft(self, sequence: Sequence) -> list[int]:
        most = min(self.options.num_speculative_tokens, sequence.max_draft_tokens)
        draft = propose(sequence.tokens, most) if most > 0 else []
        return draft if sequence.matcher is None else sequence.matcher.possible(draft)

    def _sample(self, scored: list[tuple[Sequence, Tensor, list[int]]]) -> None:
        """Choose and emit tokens, from (1 + drafts, vocabulary) each; then end the answers that are complete. Slots
        move when one ends: not before all tokens are counted."""
        ended: list[tuple[Sequence, Reason]] = []
        for sequence, scores, draft in scored:
            try:
                reason = sequence.verify(scores, draft)
            except Exception as error:
                sequence.request.error, reason = error, "cancelled"
            if reason is not None:
                ended.append((sequence, reason))
        for sequence, reason in ended:
            self.finish(sequence, reason)

    def _fail(self, sequences: list[Sequence], error: Exception) -> None:
        for sequence in list(sequences):
            sequence.request.error = error
            self.finish(sequence, "cancelled")

    def finish(self, sequence: Sequence, reason: Reason) -> None:
        """End a request: keep what it read for others, free its slot, and inform its sink."""
        request = sequence.request
        cacheable = self.options.prefix_bytes > 0 and not sequence.evicts and request.error is None
        if sequence.status is Status.RUNNING and cacheable:
            assert sequence.slot is not None
            blocks = extend_blocks(sequence.blocks, sequence.tokens)
            whole = [block for block in blocks if block.stop <= sequence.num_computed_tokens]
            self.prefix.store(whole, self.slots, sequence.slot)
        for move in self.scheduler.finish(sequence):
            self.slots.move(move.source, move.target, move.length)
        request.usage.peak_cached_tokens = max(request.usage.peak_cached_tokens, sequence.num_computed_tokens)
        request.finish(reason)

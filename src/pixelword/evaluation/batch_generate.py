"""Greedy batch generation, with the model's confidence in each answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pixelword.errors import InputError, MediaError
from pixelword.generation.limits import answer_room, end_tokens
from pixelword.generation.long_context.frame_eviction import frames_of
from pixelword.generation.sampling import Sampling

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.processing.types import Encoded

#: Answers end here at the latest, unless a right one is longer.
NEW_TOKENS = 32
#: Questions and tokens of a batch, padding included, at most; a longer question is asked alone.
_ROWS, _TOKENS = 32, 8192

Conversation = list[dict[str, Any]]


@dataclass(frozen=True)
class Said:
    """An answer. sure: geometric mean of its tokens' probabilities. fault: why it could not be asked, else empty."""

    answer: str
    sure: float
    fault: str = ""


class Asker:
    """Generates in batches of questions of similar length.

    Batches depend on the questions only, so that a second run gives identical answers: padding changes sums in their
    last bits.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._ends = end_tokens(session.model, session.processor)

    def encoded(self, conversation: Conversation, new_tokens: int) -> Encoded | str:
        """Encode a question, or return why it cannot be encoded."""
        session = self.session
        try:
            encoded = session.processor.encode(conversation, add_generation_prompt=True, media=session.media)
        except (InputError, MediaError) as error:
            return str(error)
        kept = session.long.kept_frames
        evicts = kept is not None and kept < len(frames_of(encoded))
        if new_tokens > answer_room(encoded, session.context, evicts=evicts):
            context = session.context
            return f"{len(encoded)} tokens and an answer of {new_tokens} exceed the model's context of {context}"
        return encoded

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Return question indices per batch, by increasing length."""
        batch: list[int] = []
        for place in sorted(range(len(lengths)), key=lambda item: (lengths[item], item)):
            if batch and (len(batch) == _ROWS or (len(batch) + 1) * lengths[place] > _TOKENS):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def answers(self, questions: Sequence[Encoded], new_tokens: int) -> list[Said]:
        """Generate greedy answers for one batch."""
        sampling = Sampling(new_tokens, logprobs=0)
        requests = self.session.generate(
            questions, [sampling] * len(questions), max_cached_frames=self.session.long.kept_frames
        )
        return [self.prediction(request.token_ids, request.logprobs) for request in requests]

    def prediction(self, ids: Sequence[int], logs: Sequence[float]) -> Said:
        """Decode the text up to the end token, including box marks."""
        length = next((place + 1 for place, item in enumerate(ids) if item in self._ends), len(ids))
        words = self.session.processor.encoder.decode(ids[:length])
        sure = torch.tensor(logs[:length]).mean().exp().item() if length else 0.0
        return Said(words.strip(), sure)

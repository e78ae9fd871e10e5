"""Greedy answers to many questions of any sizes, with how sure the model was of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from pixelword.errors import InputError

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
    """Asks a session in batches of questions of like length.

    Which questions share a batch depends on the questions alone, so that a second run gives the same answers to the
    letter: padding changes sums in their last bits.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        tokenizer, ends = session.processor.tokenizer, session.model.generation_config.eos_token_id
        self._ends = [tokenizer.eos_token_id] if ends is None else ends if isinstance(ends, list) else [ends]

    def encoded(self, conversation: Conversation, new_tokens: int) -> Encoded | str:
        """The question as the model reads it, or why it cannot."""
        session = self.session
        try:
            encoded = session.processor.encode(conversation, add_generation_prompt=True, media=session.media)
        except InputError as error:
            return str(error)
        context = session.model.config.get_text_config().max_position_embeddings
        if len(encoded) + new_tokens > context:
            return f"{len(encoded)} tokens and an answer of {new_tokens} exceed the model's context of {context}"
        return encoded

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Places of the questions of each batch, by rising length."""
        batch: list[int] = []
        for place in sorted(range(len(lengths)), key=lambda item: (lengths[item], item)):
            if batch and (len(batch) == _ROWS or (len(batch) + 1) * lengths[place] > _TOKENS):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    @torch.inference_mode()
    def answers(self, questions: Sequence[Encoded], new_tokens: int) -> list[Said]:
        """Greedy answers to one batch."""
        session = self.session
        inputs = {name: item.to(session.model.device) for name, item in session.processor.batch(questions).items()}
        watch = _Sureness()
        ids = session.model.generate(
            **inputs,
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=self._ends,
            logits_processor=LogitsProcessorList([watch]),
        )
        new = ids[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._said(row, watch.of(number)) for number, row in enumerate(new)]

    def _said(self, ids: Sequence[int], logs: Sequence[float]) -> Said:
        """The words up to the end, the marks of boxes among them."""
        length = next((place + 1 for place, item in enumerate(ids) if item in self._ends), len(ids))
        words = self.session.processor.encoder.decode(ids[:length])
        sure = torch.tensor(logs[:length]).mean().exp().item() if length else 0.0
        return Said(words.strip(), sure)


class _Sureness(LogitsProcessor):
    """Notes the log-probability of each likeliest token, which is the one that greedy decoding takes."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (batch, vocabulary) as they are; notes (batch,)."""
        self.steps.append(scores.float().log_softmax(-1).amax(-1))
        return scores

    def of(self, row: int) -> list[float]:
        return [float(step[row]) for step in self.steps]

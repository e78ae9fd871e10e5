"""What connects ``generate`` to its caller: choosing each row's token, stopping, and text in pieces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import torch
from transformers.generation.logits_process import LogitsProcessor
from transformers.generation.stopping_criteria import StoppingCriteria

from pixelword.generation.constraints import Chooser
from pixelword.generation.detokenizer import AnswerText, FinishReason


class Writer:
    """The text of one answer as its tokens come, without white space at its two ends.

    Attributes:
        text: What is certain so far.
        most: Tokens that the answer may have.
        tokens: The prompt's tokens and the answer's so far, the closing one included.
        choose: Chooses the next token from scores (vocabulary,) and `tokens`.
    """

    def __init__(self, prompt: Sequence[int], answer: AnswerText, choose: Chooser) -> None:
        self.text = ""
        self.most = answer.most
        self.tokens = list(prompt)
        self.choose = choose
        self._answer, self._space = answer, ""

    @property
    def new_tokens(self) -> int:
        """Tokens of the answer so far, the closing one included."""
        return self._answer.new_tokens

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it ended; None while it goes on."""
        return self._answer.finish_reason

    def add(self, token: int) -> str:
        """The piece of text that one more token makes certain."""
        self.tokens.append(token)
        piece = self._answer.add(token)
        piece = self._space + piece if self.text else piece.lstrip()
        kept = piece.rstrip()
        self._space = piece[len(kept) :]
        self.text += kept
        return kept


class Stream(Iterator[str]):
    """An answer in pieces, together its text.

    Attributes:
        finish_reason: As in :class:`Answer`; None until the last piece was taken.
    """

    def __init__(self, writer: Writer, pieces: Generator[str, None, None]) -> None:
        self.writer, self._pieces = writer, pieces

    @property
    def finish_reason(self) -> FinishReason | None:
        return self.writer.finish_reason

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """Stop the generation."""
        self._pieces.close()


class Writing(StoppingCriteria):
    """Hands each row's tokens to its writer, and ends a row with it; all of them once nobody listens any more."""

    def __init__(
        self,
        writers: Sequence[Writer],
        listener: Callable[[str], None] | None = None,
        abandoned: threading.Event | None = None,
    ) -> None:
        self.writers, self.listener, self.abandoned = writers, listener, abandoned or threading.Event()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """input_ids (batch, length) -> (batch,) bool: which rows have ended."""
        for writer, token in zip(self.writers, input_ids[:, -1].tolist(), strict=True):
            if writer.finish_reason is None and (piece := writer.add(token)) and self.listener is not None:
                self.listener(piece)
        ended = [writer.finish_reason is not None or self.abandoned.is_set() for writer in self.writers]
        return torch.tensor(ended, device=input_ids.device)


class Choosing(LogitsProcessor):
    """Makes the token that each row's writer chooses the likeliest one, which ``generate`` then takes.

    ``generate``'s own sampling takes from torch's global generator, which a seed would have to disturb and which
    threads share; and its own processors would have to agree with those of the engine. Here each row chooses for
    itself, so that an answer is the same in every batch.
    """

    def __init__(self, writers: Sequence[Writer]) -> None:
        self.writers = writers

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (batch, vocabulary) -> the same, infinite at the token chosen. Raises InputError: none is left."""
        chosen = torch.full_like(scores, -torch.inf)
        for row, writer in enumerate(self.writers):
            ended = writer.finish_reason is not None
            chosen[row, 0 if ended else writer.choose(scores[row], writer.tokens)] = 0.0
        return chosen

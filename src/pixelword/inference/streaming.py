"""What stands between ``generate`` and who asked: drawing with a seed of one's own, stopping, and text in pieces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import Any, Literal

import torch
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList
from transformers.generation.stopping_criteria import StoppingCriteria

from pixelword.inference.sampling import Drawer, Sampling, Words

#: Why an answer ended: by itself or before a stop string, or because it may not be longer.
FinishReason = Literal["stop", "length"]


class Writer:
    """The text of one answer as its tokens come, without white space at its two ends.

    Attributes:
        text: What is certain so far.
        new_tokens: Tokens that came, the closing one included.
        most: Tokens that may come.
        finish_reason: Why it ended; None while it goes on.
    """

    def __init__(self, decode: Callable[[list[int]], str], sampling: Sampling, ends: Collection[int]) -> None:
        self.text = ""
        self.new_tokens = 0
        self.finish_reason: FinishReason | None = None
        self.most, self._words, self._ends = sampling.max_new_tokens, Words(decode, sampling.stop), ends
        self._space = ""

    def add(self, token: int) -> str:
        """The piece of text that one more token makes certain."""
        self.new_tokens += 1
        piece = self._words.add(token)
        if self._words.stopped or token in self._ends:
            self.finish_reason = "stop"
        elif self.new_tokens == self.most:
            self.finish_reason = "length"
        if self.finish_reason is not None:
            piece += self._words.finish()
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


def drawing(samplings: Sequence[Sampling]) -> dict[str, Any]:
    """What makes ``generate`` draw each row of a batch; nothing where the likeliest token is taken."""
    if samplings[0].greedy:
        return {}
    return {"logits_processor": LogitsProcessorList([Draw(*samplings)])}


class Draw(LogitsProcessor):
    """Makes the likeliest token a draw from softmax(scores / temperature): adds Gumbel noise (the "Gumbel-max trick").

    ``generate``'s own sampling takes from torch's global generator, which a seed would have to disturb and which
    threads share. Here each row owns its generator, on the CPU, so that a seed means the same on every device and in
    every batch.
    """

    def __init__(self, *samplings: Sampling) -> None:
        self.drawers = [Drawer(one) for one in samplings]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (batch, vocabulary) of any float type -> float32 scores of the same shape."""
        rows = zip(self.drawers, scores.chunk(len(self.drawers)), strict=True)
        return torch.cat([drawer.noisy(row) for drawer, row in rows])

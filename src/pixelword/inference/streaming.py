"""What stands between ``generate`` and who asked: drawing with a seed of one's own, stopping, and text in pieces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria

from pixelword.inference.sampling import Drawer, Sampling, Words


def stripped(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces less the white space at the two ends of the whole, as ``str.strip`` would have it."""
    held, begun = "", False
    for piece in pieces:
        text = held + piece if begun else piece.lstrip()
        kept = text.rstrip()
        held = text[len(kept) :]
        if kept:
            begun = True
            yield kept


def words(tokens: Iterable[int], decode: Callable[[list[int]], str]) -> Iterator[str]:
    """The text of tokens, in pieces as it gets certain."""
    told = Words(decode)
    for token in tokens:
        yield told.add(token)
    yield told.finish()


def drawing(sampling: Sampling) -> dict[str, Any]:
    if sampling.temperature == 0.0:
        return {}
    return {"logits_processor": LogitsProcessorList([Draw(sampling)])}


class Draw(LogitsProcessor):
    """Makes the likeliest token a draw from softmax(scores / temperature): adds Gumbel noise (the "Gumbel-max trick").

    ``generate``'s own sampling takes from torch's global generator, which a seed would have to disturb and which
    threads share. This one owns its generator, on the CPU, so that a seed means the same on every device.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.drawer = Drawer(sampling)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (batch, vocabulary) of any float type -> float32 scores of the same shape."""
        return self.drawer.noisy(scores)


class StopWhen(StoppingCriteria):
    """Ends a generation nobody listens to any more."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """-> (batch,) bool, one answer for all rows."""
        return torch.full((input_ids.shape[0],), self.event.is_set(), dtype=torch.bool, device=input_ids.device)

"""How likely given words are as an answer: the prompt is read once, then every answer beside the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from transformers import Cache

    from pixelword.generation.session import Session
    from pixelword.processing.types import Encoded

#: Answers that are scored at once.
_ROWS = 32


@dataclass(frozen=True)
class Scored:
    """One answer's tokens after a prompt. logprobs: (L,) float32; greedy: whether each is the likeliest there."""

    logprobs: Tensor
    greedy: bool


@torch.inference_mode()
def loglikelihood(session: Session, prompt: Encoded, answers: Sequence[Tensor]) -> list[Scored]:
    """Each answer, (L,) ids with L of at least 1, as what follows the prompt."""
    device = session.model.device
    inputs = {name: value.to(device) for name, value in session.processor.batch([prompt]).items()}
    read = session.model(**inputs, logits_to_keep=1, use_cache=True)
    ids = [answer.to(device) for answer in answers]
    return [
        scored
        for a in range(0, len(ids), _ROWS)
        for scored in _after(session, read.cache, read.logits[:, -1:], ids[a : a + _ROWS])
    ]


def _after(session: Session, prompt: Cache, first: Tensor, answers: Sequence[Tensor]) -> Iterator[Scored]:
    """Answers after a prompt that was read. first: its last logits (1, 1, vocabulary)."""
    ids = pad_sequence(list(answers), batch_first=True, padding_value=-1)
    scores = first.expand(len(ids), -1, -1)
    if ids.shape[1] > 1:
        cache = deepcopy(prompt)  # every call writes into its own
        cache.batch_repeat_interleave(len(ids))
        # what follows a shorter answer is seen by none of its tokens
        rest = session.model(input_ids=ids[:, :-1].clamp(min=0), cache=cache).logits
        scores = torch.cat((scores, rest), dim=1)
    logs = scores.float().log_softmax(-1)
    each = logs.gather(-1, ids.clamp(min=0)[..., None])[..., 0].cpu()
    right = (logs.argmax(-1) == ids).cpu()
    for row, answer in enumerate(answers):
        yield Scored(each[row, : len(answer)], bool(right[row, : len(answer)].all()))

"""Vectors of texts and images for search: the network's last states, pooled and of length 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelword.errors import ContextError, InputError
from pixelword.generation.limits import answer_room
from pixelword.generation.messages import Message
from pixelword.processing.types import Encoded

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import MediaOptions, NeoOVProcessor

#: mean: the mean of all tokens' states. last: the last token's state, the only one that has seen everything.
Pooling = Literal["mean", "last"]
#: Prompts and tokens (padding included) that are read in one pass.
_ROWS, _TOKENS = 32, 8192


def prompts(
    processor: NeoOVProcessor,
    inputs: Sequence[str | Sequence[Message]],
    media: MediaOptions,
    context: int,
) -> list[Encoded]:
    """Plain texts and conversations as the model reads them. context: positions that it knows.

    Raises:
        MediaError: an image or a video cannot be read.
        InputError: an input is empty, or longer than the context.
    """
    found = [
        Encoded.of_text(torch.tensor(processor.encoder.text(item), dtype=torch.int64))
        if isinstance(item, str)
        else processor.encode(item, media=media)
        for item in inputs
    ]
    for number, prompt in enumerate(found, 1):
        if not len(prompt):
            raise InputError(f"input {number} is empty; give some words")
        if answer_room(prompt, context) < 0:
            raise ContextError(f"input {number} has {len(prompt):,} tokens; this model reads {context:,}")
    return found


@torch.inference_mode()
def embed(
    model: NeoOVForConditionalGeneration,
    processor: NeoOVProcessor,
    prompts: Sequence[Encoded],
    pooling: Pooling = "mean",
) -> Tensor:
    """The states after the last norm, pooled: (N, hidden_size) float32 on the CPU, each row of length 1.

    A prompt's vector may differ in its last bits with what it is read together with.
    """
    found = torch.empty(len(prompts), model.config.get_text_config().hidden_size)
    for places in batches([len(prompt) for prompt in prompts]):
        inputs = processor.batch([prompts[place] for place in places]).to(model.device)
        states = model.base_model(**inputs, use_cache=False).last_hidden_state.float()
        if pooling == "last":  # padding is on the left
            pooled = states[:, -1]
        else:
            mask = inputs["attention_mask"][..., None]
            pooled = (states * mask).sum(1) / mask.sum(1)
        found[places] = F.normalize(pooled, dim=-1).cpu()
    return found


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Which prompts of these lengths are read together: places, those of similar length in one batch."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == _ROWS or (len(batch) + 1) * lengths[place] > _TOKENS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch

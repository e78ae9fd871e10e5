"""Traces a question and its answer, keeping every layer's state, so that maps can be computed layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.limits import context_length
from pixelword.model.attention import attend
from pixelword.model.masks import Interval, interval
from pixelword.processing.images import unpatchify
from pixelword.processing.types import Encoded
from pixelword.processing.videos import clock

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.processor import NeoOVProcessor


@dataclass(frozen=True)
class Word:
    """One token of the answer. place: its index; the state before it produced it. chance: its probability there."""

    text: str
    place: int
    chance: float


@dataclass(frozen=True)
class Seen:
    """An image or video frame, as the network saw it.

    start: place of its first visual token. rows, columns: of visual tokens. pixels (H, W, 3) uint8. label: a frame's
    time, or an image's number where there are several. patches: where its patches begin in `pixel_values`.
    """

    start: int
    rows: int
    columns: int
    pixels: np.ndarray
    label: str
    patches: int

    @property
    def tokens(self) -> range:
        """Slice of its visual tokens."""
        return range(self.start, self.start + self.rows * self.columns)


@dataclass(frozen=True)
class Step:
    """One layer over a whole sequence: what goes out, its attention's q, k, v and heads (1, L, heads * head_dim)."""

    out: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    heads: Tensor


def layer_step(
    model: NeoOVForConditionalGeneration,
    number: int,
    hidden: Tensor,
    rotary: tuple[Tensor, Tensor],
    visible: Interval,
    visual: Tensor,
    kernel: str | None = None,
) -> Step:
    """Layer `number` over states (1, L, hidden_size), bit for bit as the network runs it.

    rotary, visible: of the sequence. visual: (L,) bool, its visual tokens. kernel: of the attention; by default the
    model's own.
    """
    config = model.config.get_text_config()
    decoder: Any = model.get_decoder()
    layer = decoder.layers[number]
    attention = layer.self_attn
    bypassed = config.text_bypasses_pre_buffer
    before = number < config.extra_num_layers
    spatial = visual[None, :, None] if bypassed and not before else None
    q, k, v = attention.projected(layer.input_layernorm(hidden), rotary, spatial)
    kernel = kernel or config._attn_implementation or "sdpa"
    heads = attend(q, k, v, visible, attention.scaling, kernel).transpose(1, 2).flatten(2)
    out = hidden + attention.o_proj(heads)
    out = out + layer.mlp(layer.post_attention_layernorm(out))
    if bypassed and before:
        out = torch.where(visual[None, :, None], out, hidden)
    return Step(out, q, k, v, heads)


@dataclass(frozen=True)
class Reading:
    """A prompt with its answer, L tokens in one row.

    inputs: what the network reads. states: (1, L, hidden_size) before each layer, and after the last, before its norm.
    pieces: the text of each token. visual: (L,) bool. rows: (N,) the places whose states produced the N words.
    """

    model: NeoOVForConditionalGeneration
    inputs: dict[str, Tensor]
    states: tuple[Tensor, ...]
    words: tuple[Word, ...]
    pictures: tuple[Seen, ...]
    pieces: tuple[str, ...]
    visual: Tensor
    rows: Tensor
    rotary: tuple[Tensor, Tensor]
    visible: Interval

    @property
    def length(self) -> int:
        return len(self.pieces)

    @property
    def answer(self) -> str:
        return "".join(word.text for word in self.words).strip()

    @property
    def word_ids(self) -> Tensor:
        """The tokens of the words, (N,)."""
        return self.inputs["input_ids"][0, self.rows + 1]

    def in_use(self, number: int) -> Tensor:
        """(L,) bool: the places whose attention in this layer goes anywhere; see `text_bypasses_pre_buffer`."""
        config = self.model.config.get_text_config()
        if config.text_bypasses_pre_buffer and number < config.extra_num_layers:
            return self.visual
        return torch.ones_like(self.visual)

    def step(self, number: int, hidden: Tensor) -> Step:
        """Layer `number` over states (1, L, hidden_size), in the open: no module is hooked or changed.

        A hook would be seen by whoever else runs the same network, such as a server's other requests.
        """
        return layer_step(self.model, number, hidden, self.rotary, self.visible, self.visual)

    def said(self, last: Tensor) -> Tensor:
        """(N,) log-probabilities of the words from the last layer's states (1, L, hidden_size)."""
        decoder: Any = self.model.get_decoder()
        logits = self.model.get_output_embeddings()(decoder.norm(last[0, self.rows]))
        return logits.float().log_softmax(-1).gather(-1, self.word_ids[:, None])[:, 0]


def read(
    model: NeoOVForConditionalGeneration,
    processor: NeoOVProcessor,
    prompt: Encoded,
    answer: Sequence[int],
    *,
    max_words: int = 24,
) -> Reading:
    """Read a prompt and its answer's tokens, less its end, of which the first `max_words` are explained.

    Raises InputError: no answer, or more than the model's context.
    """
    if not len(answer):
        raise InputError("the model's answer is empty, so nothing can be explained; give an answer")
    answer = list(answer)[:max_words]
    ids = torch.cat((prompt.input_ids, torch.tensor(answer, dtype=torch.int64)))
    context = context_length(model)
    if len(ids) > context:
        raise InputError(f"question and answer have {len(ids):,} tokens, and this model reads {context:,}")
    types = torch.cat((prompt.mm_token_type_ids, torch.zeros(len(answer), dtype=torch.int64)))
    inputs = {"input_ids": ids[None], "mm_token_type_ids": types[None]}
    if len(prompt.image_grid_hw):
        inputs |= {"pixel_values": prompt.pixel_values, "image_grid_hw": prompt.image_grid_hw}
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    rows = torch.arange(len(answer), device=model.device) + len(prompt) - 1
    config = model.config.get_text_config()
    with torch.no_grad():
        read = model(**inputs, use_cache=False, output_hidden_states=True, logits_to_keep=rows)
        positions, _ = model.get_rope_index(
            inputs["input_ids"], inputs.get("image_grid_hw"), None, inputs["mm_token_type_ids"]
        )
        rotary = model.get_decoder().rotary(positions, read.hidden_states[0].dtype)
    chances = read.logits[0].float().softmax(-1)
    words = tuple(
        Word(_piece(processor, token), len(prompt) + n, float(chances[n, token])) for n, token in enumerate(answer)
    )
    pieces = tuple(_piece(processor, token) for token in ids.tolist())
    reading = Reading(
        model, inputs, read.hidden_states[:-1], words, _pictures(prompt, processor), pieces,
        inputs["mm_token_type_ids"][0] != 0, rows, rotary, interval(positions),
    )  # fmt: skip
    with torch.no_grad():  # the network's own last state is normed already
        last = reading.step(config.num_hidden_layers - 1, reading.states[-1]).out
    return replace(reading, states=(*reading.states, last))


def _piece(processor: NeoOVProcessor, token: int) -> str:
    """Return a token's text, or the tokenizer's name for it if it is part of a character."""
    text = str(processor.tokenizer.decode([token]))
    return str(processor.tokenizer.convert_ids_to_tokens(token)) if "\ufffd" in text else text


def _pictures(prompt: Encoded, processor: NeoOVProcessor) -> tuple[Seen, ...]:
    images, merge = processor.image_processor, processor.image_processor.merge_size
    found: list[Seen] = []
    for number, image in enumerate(prompt.images, 1):
        rows, columns = image.grid_hw
        cells = prompt.pixel_values[image.patches].numpy()
        pixels = unpatchify(cells, image.grid_hw, images.patch_size, mean=images.image_mean, std=images.image_std)
        label = str(number) if len(prompt.images) > 1 else ""
        if image.timestamp is not None:
            label = clock(image.timestamp, decimals=True)
        found.append(Seen(image.start, rows // merge, columns // merge, pixels, label, image.first_patch))
    return tuple(found)

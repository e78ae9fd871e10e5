"""Reads a prompt of which few visual tokens stay, into a cache of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.compression.compressor import Kept, Prompt
from pixelword.generation.compression.options import Compression
from pixelword.generation.long_context.incremental_prefill import IncrementalPrefill
from pixelword.generation.model_runner import images_within
from pixelword.model.attention import attention_weights
from pixelword.model.masks import Interval, interval
from pixelword.model.network import KVCache

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.types import Encoded


def geometry(
    model: NeoOVForConditionalGeneration, positions: Tensor, visual: Tensor, dtype: torch.dtype
) -> tuple[tuple[Tensor, Tensor], Interval, Tensor | None]:
    """Rotary tables and intervals of positions (3, 1, L), and visual (1, L, 1) where text bypasses the pre-buffer."""
    bypassed = model.config.get_text_config().text_bypasses_pre_buffer
    return model.get_decoder().rotary(positions, dtype), interval(positions), visual[..., None] if bypassed else None


def run_layers(
    model: NeoOVForConditionalGeneration,
    hidden: Tensor,
    positions: Tensor,
    visual: Tensor,
    layers: range,
    cache: KVCache | None,
) -> Tensor:
    """Some layers over states (1, L, hidden_size) of a whole sequence, into a cache where there is one.

    positions: (3, 1, L). visual: (1, L) bool.
    """
    rotary, visible, places = geometry(model, positions, visual, hidden.dtype)
    for number in layers:
        hidden = model.get_decoder().run_layer(number, hidden, rotary, visible, cache, places)
    return hidden


class LayerwisePrefill(IncrementalPrefill):
    """Reads one prompt some layers at a time, each time over some of its tokens."""

    def where(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (3, 1, n) and visual (1, n) of the prompt's tokens at places (n,), on the model's device."""
        own, device = places.cpu(), self.model.device
        return self.positions[:, :, own].to(device), (self.prompt.mm_token_type_ids[own] != 0)[None].to(device)

    def run(self, hidden: Tensor, places: Tensor, layers: range) -> Tensor:
        """Layers over states (1, n, hidden_size) of the prompt's tokens at `places`, into the cache."""
        return run_layers(self.model, hidden, *self.where(places), layers, self.cache)

    def finished(self, hidden: Tensor) -> Tensor:
        """Logits (vocabulary,) of the last token from states after the last layer."""
        return self.model.get_output_embeddings()(self.model.get_decoder().norm(hidden[:, -1:]))[0, -1]


class CompressedPrefill(LayerwisePrefill):
    """Reads one prompt once. What stays keeps its position, so nothing that follows need know of the compression."""

    def __init__(self, model: NeoOVForConditionalGeneration, prompt: Encoded, compression: Compression) -> None:
        super().__init__(model, prompt)
        self.compression, self.compressor = compression, compression.made()
        self.visual = prompt.mm_token_type_ids != 0
        self.grid = prompt.image_grid_hw // model.config.vision_config.merge_size

    @torch.inference_mode()
    def read_whole(self) -> Tensor:
        """Read the prompt; returns logits (vocabulary,) of its last token."""
        if not self.prompt.images:
            return self.read(0, len(self.prompt))
        return self._read_and_drop() if self.compression.stage == "cache" else self._read_layers()

    def _read_and_drop(self) -> Tensor:
        """Images in full, without what is dropped of their keys and values, then the question."""
        end, length = self.prompt.images[-1].stop, len(self.prompt)
        before = self.model.config.get_text_config().extra_num_layers
        read = self._forward(0, end, output_hidden_states=[before])
        self.held = torch.arange(end)
        visual = self.visual[:end]
        words = self.model.get_input_embeddings()(self.prompt.input_ids[end:].to(self.model.device))
        found = self.attention(end, length)[visual].to(words.device)
        kept = self._checked(read.hidden_states[before][0, visual.to(words.device)], Prompt(words, found))
        if kept.weights is not None:
            raise InputError("keys and values cannot be merged: this compressor is of an earlier stage")
        staying = ~visual
        staying[visual.nonzero()[:, 0][kept.indices.cpu()]] = True
        self.keep(staying)
        return self.read(end, length)

    def _read_layers(self) -> Tensor:
        """All layers over what is kept, or the pre-buffer over everything and the rest over what is kept."""
        model, prompt = self.model, self.prompt
        device = model.device
        config = model.config.get_text_config()
        images = images_within(prompt, 0, len(prompt), device)
        ids, types = (x[None].to(device) for x in (prompt.input_ids, prompt.mm_token_type_ids))
        hidden = model._embed(ids, None, images["pixel_values"], images["image_grid_hw"], types)
        places = torch.arange(len(prompt), device=device)
        first = config.extra_num_layers if self.compression.stage == "pre-buffer" else 0
        hidden = self.run(hidden, places, range(first))
        hidden, places = self._compressed(hidden, places, first)
        for layer in self.cache.layers[:first]:
            layer.keys, layer.values = layer.keys[:, :, places], layer.values[:, :, places]
        self.peak_tokens = len(prompt) if first else len(places)
        self.held = places.cpu()
        hidden = self.run(hidden, places, range(first, config.num_hidden_layers))
        return self.finished(hidden)

    def _compressed(self, hidden: Tensor, places: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """States and places without the visual tokens that are dropped before layer `first`."""
        visual = self.visual.to(hidden.device)
        words = torch.arange(self.prompt.images[-1].stop, len(self.prompt), device=hidden.device)
        found = self._attention_in(first, hidden, places, words)[visual] if first else None
        kept = self._checked(hidden[0, visual], Prompt(hidden[0, words], found))
        columns = visual.nonzero()[:, 0]
        if kept.weights is not None:
            hidden = hidden.clone()
            mixed = kept.weights.float() @ hidden[0, columns].float()
            hidden[0, columns[kept.indices]] = mixed.to(hidden.dtype)
        staying = ~visual
        staying[columns[kept.indices]] = True
        return hidden[:, staying], places[staying]

    def _attention_in(self, number: int, hidden: Tensor, places: Tensor, words: Tensor) -> Tensor:
        """(L,) float32: attention of words to every token in one layer, mean over heads and words."""
        rotary, visible, visual = geometry(self.model, *self.where(places), hidden.dtype)
        layer: Any = self.model.get_decoder().layers[number]
        q, k, _ = layer.self_attn.projected(layer.input_layernorm(hidden), rotary, visual)
        own = Interval(visible.lo[:, words], visible.hi[:, words])
        return attention_weights(q[:, :, words], k, own, layer.self_attn.scaling)[0].mean((0, 1))

    def _checked(self, states: Tensor, prompt: Prompt) -> Kept:
        """What the compressor keeps. Raises InputError: that is not what `Kept` describes."""
        kept = Kept(*self.compressor.keep(self.grid, states, prompt))
        indices = kept.indices
        rising = len(indices) > 0 and bool((indices.diff() > 0).all())
        if not rising or int(indices[0]) < 0 or int(indices[-1]) >= len(states):
            raise InputError(f"a compressor must keep ascending indices below {len(states)}, and one at least")
        if kept.weights is not None and kept.weights.shape != (len(indices), len(states)):
            raise InputError(f"a compressor's weights must be ({len(indices)}, {len(states)})")
        return kept

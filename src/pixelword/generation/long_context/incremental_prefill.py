"""A prompt read stretch by stretch into a cache of its own, of which parts may be forgotten again.

What words attend to is found with no hook and nothing of size L x L: the words are read as a stretch, their queries
are made again from the states before each layer, and the stretch is taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pixelword.generation.model_runner import images_within
from pixelword.model.kv_cache import GrowingCache
from pixelword.model.masks import interval

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.types import Encoded


class IncrementalPrefill:
    """Reads one prompt. Its state is its own, so several may share a model, one after the other in each thread.

    held: (n,) int64, on the CPU, the places in the prompt of the tokens that the cache holds, ascending.
    peak_tokens: the most tokens that the cache held, words that were taken back included.
    """

    def __init__(self, model: NeoOVForConditionalGeneration, prompt: Encoded) -> None:
        self.model, self.prompt = model, prompt
        self.cache = GrowingCache(model.config)
        grid = prompt.image_grid_hw if len(prompt.image_grid_hw) else None
        self.positions, _ = model.get_rope_index(prompt.input_ids[None], grid, None, prompt.mm_token_type_ids[None])
        self.held = torch.empty(0, dtype=torch.int64)
        self.peak_tokens = 0

    @torch.inference_mode()
    def read(self, start: int, stop: int) -> Tensor:
        """Read tokens [start, stop), which cut no image; returns logits (vocabulary,) of the last."""
        logits = self._forward(start, stop).logits[0, -1]
        self.held = torch.cat((self.held, torch.arange(start, stop)))
        return logits

    @torch.inference_mode()
    def attention(self, start: int, stop: int) -> Tensor:
        """(n,) float32: how much words [start, stop) of the prompt look at each token held; nothing is kept of them.

        Mean over the words, and over the heads and layers after the pre-buffer; what they give each other is left out.
        """
        config, count = self.model.config.get_text_config(), len(self.held)
        decoder: Any = self.model.get_decoder()
        try:
            states = self._forward(start, stop, output_hidden_states=True).hidden_states
            positions = self.positions[:, :, start:stop].to(self.model.device)
            rotary = decoder.rotary(positions, states[0].dtype)
            hidden = ~interval(positions, past=count).dense(count + stop - start)[0]
            total = torch.zeros(count, device=self.model.device)
            for number in range(config.extra_num_layers, config.num_hidden_layers):
                layer: Any = decoder.layers[number]
                q, _, _ = layer.self_attn.projected(layer.input_layernorm(states[number]), rotary)
                k = self.cache.layers[number].keys[0].float()
                group = q.shape[1] // k.shape[0]
                scores = q[0].float() @ k.repeat_interleave(group, 0).transpose(1, 2) * layer.self_attn.scaling
                total += scores.masked_fill(hidden, -torch.inf).softmax(-1)[..., :count].mean((0, 1))
        finally:
            self.change(lambda x: x[:, :, :count], lambda x: x[:, :, :count])
        return (total / (config.num_hidden_layers - config.extra_num_layers)).cpu()

    def keep(self, kept: Tensor) -> None:
        """Forget every token held but those where `kept` (n,) bool says so."""
        places = kept.nonzero()[:, 0].to(self.model.device)
        self.change(lambda x: x.index_select(2, places), lambda x: x.index_select(2, places))
        self.held = self.held[kept]

    @torch.inference_mode()
    def change(self, keys: Callable[[Tensor], Tensor], values: Callable[[Tensor], Tensor]) -> None:
        """Replace every layer's keys (1, heads, n, 2 * head_dim) and values (1, heads, n, head_dim)."""
        for layer in self.cache.layers:
            layer.keys, layer.values = keys(layer.keys), values(layer.values)

    def _forward(self, start: int, stop: int, **options: Any) -> Any:
        self.peak_tokens = max(self.peak_tokens, self.cache.get_seq_length() + stop - start)
        device, prompt = self.model.device, self.prompt
        return self.model(
            input_ids=prompt.input_ids[None, start:stop].to(device),
            mm_token_type_ids=prompt.mm_token_type_ids[None, start:stop].to(device),
            **images_within(prompt, start, stop, device),
            position_ids=self.positions[:, :, start:stop].to(device),
            cache=self.cache,
            use_cache=True,
            logits_to_keep=1,
            **options,
        )

"""The one stack of decoder layers: the pre-buffer is its first `extra_num_layers`, the rest is the language model's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import NeoOVAttention, RMSNorm
from .configuration import NeoOVTextConfig
from .rotary import rotary_tables
from .visibility import Interval


class NeoOVMLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: NeoOVTextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class NeoOVDecoderLayer(GradientCheckpointingLayer):
    """Pre-norm attention and MLP, each added to the residual stream."""

    def __init__(self, config: NeoOVTextConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = NeoOVAttention(config, layer_idx)
        self.mlp = NeoOVMLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        visible: Interval,
        cache: Cache | None = None,
        spatial: Tensor | None = None,
        keys_only: bool = False,
        weights: list[Tensor] | None = None,
    ) -> Tensor:
        """As `NeoOVAttention.forward`. keys_only: remember the tokens' keys and values, and leave `hidden` as it is."""
        if keys_only:
            assert cache is not None
            _, k, v = self.self_attn.projected(self.input_layernorm(hidden), rotary, spatial)
            cache.update(k, v, self.self_attn.layer_idx)
            return hidden
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotary, visible, cache, spatial, weights)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


def selected_states(wanted: bool | int | Sequence[int] | None, count: int) -> frozenset[int]:
    """Indices of the hidden states to return, of `count`: all, none, or those named, as in transformers 5.23."""
    if wanted is None or isinstance(wanted, bool):
        return frozenset(range(count)) if wanted else frozenset()
    indices = [wanted] if isinstance(wanted, int) else wanted
    return frozenset(index % count for index in indices if -count <= index < count)


class NeoOVDecoder(nn.Module):
    """Token embeddings, all layers and the last norm: `language_model.model` of the released layout."""

    def __init__(self, config: NeoOVTextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(NeoOVDecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gradient_checkpointing = False

    def rotary(self, position_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every token's angles, each (B, 1, L, head_dim); made once for all layers."""
        config = self.config
        return rotary_tables(position_ids, config.head_dim, config.rope_theta, config.rope_theta_hw, dtype)

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        visible: Interval,
        cache: Cache | None = None,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        visual: Tensor | None = None,
        weights: list[Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor | None, ...] | None]:
        """Run the stack.

        Args:
            inputs_embeds: (B, L, hidden_size).
            position_ids: (3, B, L), rows (t, t + h, t + w).
            visible: the interval of every query.
            output_hidden_states: whether the state before each layer and the last are returned; or which of them, by
                their indices, negative ones from the end. An index out of range selects nothing.
            visual: (B, L) bool, the places of visual tokens; None for none. Read where text bypasses the pre-buffer.
            weights: gets the attention weights of every layer.

        Returns:
            the normed last state (B, L, hidden_size), and the hidden states if wanted, None for those not selected.
        """
        config = self.config
        rotary = self.rotary(position_ids, inputs_embeds.dtype)
        selected = selected_states(output_hidden_states, len(self.layers) + 1)
        hidden, states = inputs_embeds, [inputs_embeds if 0 in selected else None]
        if not config.text_bypasses_pre_buffer:
            places = None
        else:
            places = torch.zeros(hidden.shape[:2], dtype=torch.bool) if visual is None else visual
            places = places.to(hidden.device).unsqueeze(-1)
        for number, layer in enumerate(self.layers):
            if places is None or number >= config.extra_num_layers:
                hidden = layer(hidden, rotary, visible, cache, places, weights=weights)
            elif visual is None and cache is not None and weights is None and not torch.is_grad_enabled():
                hidden = layer(hidden, rotary, visible, cache, keys_only=True)  # images may follow
            else:  # all are computed: later images read the words' keys, and ranks that share layers run alike
                hidden = torch.where(places, layer(hidden, rotary, visible, cache, weights=weights), hidden)
            states.append(hidden if number + 1 in selected else None)
        hidden = self.norm(hidden)
        if output_hidden_states is False or output_hidden_states is None:
            return hidden, None
        return hidden, (*states[:-1], hidden if len(self.layers) in selected else None)

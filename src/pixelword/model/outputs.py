"""What the network returns, under transformers' names."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.cache_utils import Cache

from pixelword.compat import CacheOutput


@dataclass
class NeoOVModelOutput(CacheOutput):
    """last_hidden_state (B, L, hidden_size); cache; hidden_states, one (B, L, hidden_size) per layer + 1, None where
    not selected; attentions, one (B, heads, L, keys) per layer."""

    last_hidden_state: Tensor | None = None
    cache: Cache | None = None
    hidden_states: tuple[Tensor | None, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class NeoOVCausalLMOutput(CacheOutput):
    """loss: scalar; logits (B, kept, vocabulary), None when skipped; the rest as in `NeoOVModelOutput`."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    cache: Cache | None = None
    hidden_states: tuple[Tensor | None, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

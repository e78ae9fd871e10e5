"""A key-value cache that writes in place: transformers' dynamic one copies all it holds for every new token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


def _room(length: int) -> int:
    """Keys that a buffer for `length` tokens holds: a little more, so that growing is rare and what is empty small."""
    return length + 64 + length // 16


class GrowingLayer(DynamicLayer):
    """Keys and values at the front of buffers with room behind.

    `keys` and `values` are views of what is cached, as transformers' own code (beams, cropping) expects to find and
    replace them; `update` returns the whole buffers, since products over a narrowed view run at a half to a quarter of
    the speed. What lies behind is finite and no interval reaches it.
    """

    keys: Tensor
    values: Tensor
    _buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append (B, kv_heads, L, D) and (B, kv_heads, L, E); returns buffers of at least the cached length."""
        if key_states.requires_grad or value_states.requires_grad:
            return super().update(key_states, value_states, *args, **kwargs)  # autograd forbids writing in place
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        stop = start + key_states.shape[-2]
        if self._buffers is None or not self._is_ours(stop):
            self._buffers = tuple(  # type: ignore[assignment]
                _moved(held if start else None, new, stop)
                for held, new in ((self.keys, key_states), (self.values, value_states))
            )
        keys, values = self._buffers  # type: ignore[misc]
        keys[:, :, start:stop] = key_states
        values[:, :, start:stop] = value_states
        self.keys, self.values = keys[:, :, :stop], values[:, :, :stop]
        return keys, values

    def _is_ours(self, stop: int) -> bool:
        """Whether the buffers have room, still hold what is cached (beams replace it) and may be written to."""
        assert self._buffers is not None
        for held, buffer in zip((self.keys, self.values), self._buffers, strict=True):
            stale = held.data_ptr() != buffer.data_ptr() or held.shape[0] != buffer.shape[0]
            if stale or stop > buffer.shape[2] or (buffer.is_inference() and not torch.is_inference_mode_enabled()):
                return False
        return True

    def reset(self) -> None:
        self._buffers = None
        super().reset()


def _moved(held: Tensor | None, new: Tensor, length: int) -> Tensor:
    """A buffer with room for `length` keys and more, what is held at its front and zeros behind."""
    batch, heads, _, width = new.shape
    buffer = new.new_zeros(batch, heads, _room(length), width)
    if held is not None:
        buffer[:, :, : held.shape[2]] = held
    return buffer


class GrowingCache(DynamicCache):
    """`DynamicCache` whose layers write in place; what `generate` and `forward` make where none is given."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.layers = [GrowingLayer() for _ in range(config.get_text_config().num_hidden_layers)]

"""A key-value cache that writes in place: transformers' dynamic one copies all it holds for every new token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import Cache, DynamicLayer


def _room(length: int) -> int:
    """Keys that a buffer for `length` tokens holds: a little more, so that growing is rare and what is empty small."""
    return length + 64 + length // 16


class GrowingLayer(DynamicLayer):
    """Keys and values at the front of buffers with room behind.

    `keys` and `values` are views of what is cached, as transformers' own code (beams, cropping) expects to find and
    replace them; `update` returns the whole buffers, since products over a narrowed view run at a half to a quarter of
    the speed. What is behind is finite and no interval reaches it.
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


class TimedCache(DynamicCache):
    """`DynamicCache` that records the temporal index t of every token, through all that may be done to its rows.

    An image has many tokens and one t, so that a cache's length alone does not say where the next token stands.
    """

    _times: Tensor | None = None

    @property
    def rope_delta(self) -> Tensor | int:
        """(B, 1): what to add to the cache's length for the next token's t; 0 where nothing was recorded."""
        length = self.get_seq_length()
        if self._times is None or not 0 < length <= self._times.shape[1]:
            return 0
        return self._times[:, length - 1 : length] + 1 - length

    def record(self, times: Tensor, past: int) -> None:
        """Append the indices (B, L) of the tokens after the first `past`; what was cropped is forgotten."""
        held = self._times
        if held is None or held.shape[1] < past:  # filled by somebody else, with text
            held = torch.arange(past, device=times.device).expand(times.shape[0], past)
        self._times = torch.cat((held[:, :past], times), 1)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)
        self._take_rows(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)
        self._take_rows(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        if self._times is not None:
            self._times = self._times.repeat_interleave(repeats, 0)

    def _take_rows(self, rows: Tensor) -> None:
        if self._times is not None:
            self._times = self._times[rows.to(self._times.device)]


def record_times(cache: Cache, times: Tensor, past: int | Tensor) -> None:
    """Note on a cache where its next token stands, given the indices (B, L) of those just written after `past`.

    Everything about a request is on its own cache, never on a module. A plain `DynamicCache` becomes a `TimedCache`
    in place: it is the caller's object, and the caller may reorder, repeat and crop it.
    """
    if type(cache) is DynamicCache:
        cache.__class__ = TimedCache
    if isinstance(cache, TimedCache):
        cache.record(times, int(past))
    else:  # of fixed size: one column, so that compiled steps keep their shapes
        cache.rope_delta = times[:, -1:] + 1 - past - times.shape[1]


class GrowingCache(TimedCache):
    """`TimedCache` whose layers write in place; what `generate` and `forward` make where none is given."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.layers = [GrowingLayer() for _ in range(config.get_text_config().num_hidden_layers)]

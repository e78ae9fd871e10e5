"""Keys and values of the requests that run together: a slot each, of its own length, written in place.

Slots in use are always the first ones, so that a step reads plain views; the scheduler says which, and what moves into
a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelword.model.masks import Block, Interval

#: One layer's keys (heads, n, 2 * head_dim) and values (heads, n, head_dim) of n tokens.
KVBlock = tuple[Tensor, Tensor]


class KVSlots:
    """Buffers (slots, kv_heads, capacity, width) for each layer's keys and values, grown when they must be."""

    def __init__(self, layers: int, pre_buffer: int = 0) -> None:
        """pre_buffer: how many of the first layers belong to it; requests may have fewer tokens there."""
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._pre_buffer = pre_buffer
        self._room = (0, 0)  # slots, tokens
        self._early_room = 0  # tokens in the pre-buffer's layers

    @property
    def nbytes(self) -> int:
        """Bytes that the buffers take now."""
        return sum(x.nbytes for x in (*self._keys, *self._values) if x is not None)

    def reserve(self, slots: int, tokens: int, early: int | None = None) -> None:
        """Make room for this many slots of this many tokens; their content is kept. After the first time it grows by
        half at least, and to twice the slots.

        early: tokens in the pre-buffer's layers, where they are fewer.
        """
        have_slots, have_tokens = self._room
        early = tokens if early is None else early
        if slots <= have_slots and tokens <= have_tokens and early <= self._early_room:
            return
        if early > self._early_room:
            self._early_room = max(early, self._early_room * 3 // 2)
        self._room = (
            have_slots if slots <= have_slots else max(slots, 2 * have_slots),
            have_tokens if tokens <= have_tokens else max(tokens, have_tokens * 3 // 2),
        )
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                if old is not None:
                    room = (self._room[0], old.shape[1], self._tokens(layer), old.shape[3])
                    buffers[layer] = new = old.new_zeros(room)
                    new[:have_slots, :, : old.shape[2]] = old

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a slot over those of another."""
        for buffer in (*self._keys, *self._values):
            if buffer is not None:
                buffer[target, :, :length] = buffer[source, :, :length]

    def put(self, slot: int, at: int, blocks: Sequence[KVBlock]) -> None:
        """Write one block a layer at token `at` of a slot."""
        self.reserve(slot + 1, at + blocks[-1][0].shape[1], at + blocks[0][0].shape[1])
        for layer, (keys, values) in enumerate(blocks):
            held = self._buffers(layer, keys, values)
            for buffer, new in zip(held, (keys, values), strict=True):
                buffer[slot, :, at : at + new.shape[1]] = new

    def take(self, slot: int, start: int, stop: int) -> list[KVBlock]:
        """Copies of tokens [start, stop) of a slot, one block a layer."""
        taken = []
        for keys, values in zip(self._keys, self._values, strict=True):
            assert keys is not None and values is not None
            taken.append((keys[slot, :, start:stop].clone(), values[slot, :, start:stop].clone()))
        return taken

    def views(self, layer: int, slots: int, tokens: int) -> KVBlock:
        """The first `tokens` places (or as many as there are) of the first slots, to be read and written."""
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None and values is not None
        return keys[:slots, :, :tokens], values[:slots, :, :tokens]

    def view(self, slots: slice, starts: Tensor, most: int, dropped: Tensor | None = None) -> SlotView:
        """The cache of one forward over some slots; new tokens, at most `most` a slot, go to `starts` (slots,).

        dropped: (slots,) how many fewer tokens the pre-buffer's layers have.
        """
        early = None if dropped is None else int((starts - dropped).max()) + most
        self.reserve(slots.stop, int(starts.max()) + most, early)
        return SlotView(self, slots, starts, dropped)

    def _tokens(self, layer: int) -> int:
        """Tokens that a slot of a layer has room for."""
        return self._early_room if self.is_early(layer) else self._room[1]

    def is_early(self, layer: int) -> bool:
        """Whether a layer is of the pre-buffer."""
        return layer < self._pre_buffer

    def write(self, layer: int, slots: slice, starts: Tensor, keys: Tensor, values: Tensor) -> KVBlock:
        """Write (B, heads, L, width) at each slot's start; returns these slots' whole buffers."""
        held = self._buffers(layer, keys[0], values[0])
        length = keys.shape[2]
        for buffer, new in zip(held, (keys, values), strict=True):
            if new.shape[0] == 1:
                start = int(starts[0])
                buffer[slots.start, :, start : start + length] = new[0]
            else:
                row = torch.arange(slots.start, slots.stop, device=new.device)[:, None]
                column = starts[:, None].to(new.device) + torch.arange(length, device=new.device)
                buffer[row, :, column] = new.transpose(1, 2)
        return held[0][slots], held[1][slots]

    def _buffers(self, layer: int, keys: Tensor, values: Tensor) -> KVBlock:
        """A layer's buffers, made when it first writes: keys (heads, n, width)."""
        for buffers, new in ((self._keys, keys), (self._values, values)):
            if buffers[layer] is None:
                buffers[layer] = new.new_zeros(self._room[0], new.shape[0], self._tokens(layer), new.shape[2])
        held = self._keys[layer], self._values[layer]
        assert held[0] is not None and held[1] is not None
        return held[0], held[1]


@dataclass
class SlotView:
    """The cache of one forward: the network's view of some slots."""

    buffers: KVSlots
    slots: slice
    starts: Tensor
    dropped: Tensor | None = None
    rope_delta: Tensor | None = None  # set by the network; sequences have their own

    def get_seq_length(self, layer: int = 0) -> int:
        """Positions and intervals are given with a window, so its past length is not needed."""
        return 0

    def update(self, keys: Tensor, values: Tensor, layer: int) -> KVBlock:
        """Append to each slot."""
        starts = self.starts if self.dropped is None or not self.buffers.is_early(layer) else self.starts - self.dropped
        return self.buffers.write(layer, self.slots, starts, keys, values)

    def visible(self, length: int) -> Interval:
        """The interval of `length` new text tokens a slot: all before, and themselves."""
        early = None if self.dropped is None else _all_before(self.starts - self.dropped, length)
        whole = _all_before(self.starts, length)
        return Interval(whole.lo, whole.hi, whole.blocks, early)


def _all_before(starts: Tensor, length: int) -> Interval:
    """`length` new tokens a row, after `starts` (rows,)."""
    hi = starts[:, None] + torch.arange(length, device=starts.device)
    return Interval(torch.zeros_like(hi), hi, (Block(slice(None), 0, length, 0, int(hi.max()) + 1, "masked"),))

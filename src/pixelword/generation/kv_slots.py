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

    def __init__(self, layers: int) -> None:
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._room = (0, 0)  # slots, tokens

    @property
    def nbytes(self) -> int:
        """Bytes that the buffers take now."""
        return sum(x.nbytes for x in (*self._keys, *self._values) if x is not None)

    def reserve(self, slots: int, tokens: int) -> None:
        """Make room for this many slots of this many tokens; their content is kept. After the first time it grows by
        half at least, and to twice the slots."""
        have_slots, have_tokens = self._room
        if slots <= have_slots and tokens <= have_tokens:
            return
        self._room = (
            have_slots if slots <= have_slots else max(slots, 2 * have_slots),
            have_tokens if tokens <= have_tokens else max(tokens, have_tokens * 3 // 2),
        )
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                if old is not None:
                    buffers[layer] = new = old.new_zeros(self._room[0], old.shape[1], self._room[1], old.shape[3])
                    new[:have_slots, :, :have_tokens] = old

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a slot over those of another."""
        for buffer in (*self._keys, *self._values):
            if buffer is not None:
                buffer[target, :, :length] = buffer[source, :, :length]

    def put(self, slot: int, at: int, blocks: Sequence[KVBlock]) -> None:
        """Write one block a layer at token `at` of a slot."""
        self.reserve(slot + 1, at + blocks[0][0].shape[1])
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

    def view(self, slots: slice, starts: Tensor, most: int) -> SlotView:
        """The cache of one forward over some slots; new tokens, at most `most` a slot, go to `starts` (slots,)."""
        self.reserve(slots.stop, int(starts.max()) + most)
        return SlotView(self, slots, starts)

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
                buffers[layer] = new.new_zeros(self._room[0], new.shape[0], self._room[1], new.shape[2])
        held = self._keys[layer], self._values[layer]
        assert held[0] is not None and held[1] is not None
        return held[0], held[1]


@dataclass
class SlotView:
    """The cache of one forward: the network's view of some slots."""

    buffers: KVSlots
    slots: slice
    starts: Tensor
    rope_delta: Tensor | None = None  # set by the network; sequences have their own

    def get_seq_length(self, layer: int = 0) -> int:
        """Positions and intervals are given with a window, so its past length is not needed."""
        return 0

    def update(self, keys: Tensor, values: Tensor, layer: int) -> KVBlock:
        """Append to each slot."""
        return self.buffers.write(layer, self.slots, self.starts, keys, values)

    def visible(self, length: int) -> Interval:
        """The interval of `length` new text tokens a slot: all before, and themselves."""
        hi = self.starts[:, None] + torch.arange(length, device=self.starts.device)
        last = int(hi.max()) + 1
        return Interval(torch.zeros_like(hi), hi, (Block(slice(None), 0, length, 0, last, "masked"),))

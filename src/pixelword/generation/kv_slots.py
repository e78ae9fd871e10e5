"""Keys and values of the requests that run together: a row each, of its own length, written in place.

Slots in use are always the first ones, so that a step reads plain views; their owner moves one into a gap.
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
    """Buffers (rows, kv_heads, capacity, width) for each layer's keys and values, grown when they must be."""

    def __init__(self, layers: int) -> None:
        self.used = 0
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._room = (1, 256)  # rows, tokens

    @property
    def nbytes(self) -> int:
        """Bytes that the buffers take now."""
        return sum(x.nbytes for x in (*self._keys, *self._values) if x is not None)

    def reserve(self, rows: int, tokens: int) -> None:
        """Make room for this many rows of this many tokens; what is held is kept. Grows by half at least."""
        have_rows, have_tokens = self._room
        if rows <= have_rows and tokens <= have_tokens:
            return
        self._room = (
            have_rows if rows <= have_rows else max(rows, 2 * have_rows),
            have_tokens if tokens <= have_tokens else max(tokens, have_tokens * 3 // 2),
        )
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                if old is not None:
                    buffers[layer] = new = old.new_zeros(self._room[0], old.shape[1], self._room[1], old.shape[3])
                    new[: self.used, :, :have_tokens] = old[: self.used]

    def add(self) -> int:
        """A new row, the last one; returns its number."""
        self.reserve(self.used + 1, 0)
        self.used += 1
        return self.used - 1

    def move(self, row: int, to: int, length: int) -> None:
        """Copy the first `length` tokens of a row over another row."""
        for buffer in (*self._keys, *self._values):
            if buffer is not None:
                buffer[to, :, :length] = buffer[row, :, :length]

    def put(self, row: int, at: int, stretches: Sequence[KVBlock]) -> None:
        """Write what was `taken` before, one stretch a layer, at token `at` of a row."""
        self.reserve(row + 1, at + stretches[0][0].shape[1])
        for layer, (keys, values) in enumerate(stretches):
            held = self._buffers(layer, keys, values)
            for buffer, new in zip(held, (keys, values), strict=True):
                buffer[row, :, at : at + new.shape[1]] = new

    def take(self, row: int, start: int, stop: int) -> list[KVBlock]:
        """Copies of tokens [start, stop) of a row, one stretch a layer."""
        taken = []
        for keys, values in zip(self._keys, self._values, strict=True):
            assert keys is not None and values is not None
            taken.append((keys[row, :, start:stop].clone(), values[row, :, start:stop].clone()))
        return taken

    def views(self, layer: int, rows: int, tokens: int) -> KVBlock:
        """The first `tokens` places (or as many as there are) of the first rows' buffers, to be read and written."""
        keys, values = self._keys[layer], self._values[layer]
        assert keys is not None and values is not None
        return keys[:rows, :, :tokens], values[:rows, :, :tokens]

    def window(self, rows: slice, starts: Tensor, most: int) -> SlotView:
        """What one forward over `rows` writes to, its new tokens from `starts` (rows,) on; `most`: of them in a row."""
        self.reserve(rows.stop, int(starts.max()) + most)
        return SlotView(self, rows, starts)

    def write(self, layer: int, rows: slice, starts: Tensor, keys: Tensor, values: Tensor) -> KVBlock:
        """Write (B, heads, L, width) at each row's start; returns those rows' whole buffers."""
        held = self._buffers(layer, keys[0], values[0])
        length = keys.shape[2]
        for buffer, new in zip(held, (keys, values), strict=True):
            if new.shape[0] == 1:
                start = int(starts[0])
                buffer[rows.start, :, start : start + length] = new[0]
            else:
                row = torch.arange(rows.start, rows.stop, device=new.device)[:, None]
                column = starts[:, None] + torch.arange(length, device=new.device)
                buffer[row, :, column] = new.transpose(1, 2)
        return held[0][rows], held[1][rows]

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
    """The cache of one forward: what the network asks of a cache, over some rows of `KVSlots`."""

    rows: KVSlots
    which: slice
    starts: Tensor
    rope_delta: Tensor | None = None  # set by the network; rows know their own

    def get_seq_length(self, layer: int = 0) -> int:
        """Positions and intervals are given with a window, so its past length is not needed."""
        return 0

    def update(self, keys: Tensor, values: Tensor, layer: int) -> KVBlock:
        """Append to each row."""
        return self.rows.write(layer, self.which, self.starts, keys, values)

    def visible(self, length: int) -> Interval:
        """The interval of `length` new text tokens a row: all before, and themselves."""
        hi = self.starts[:, None] + torch.arange(length, device=self.starts.device)
        last = int(hi.max()) + 1
        return Interval(torch.zeros_like(hi), hi, (Block(slice(None), 0, length, 0, last, "masked"),))

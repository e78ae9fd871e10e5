"""Content-addressed cache of keys and values of prompts' beginnings.

A prompt is cut into blocks: every image is one, text is cut into blocks of 16 tokens. A block's name is a hash of its
content and of all before it, so that equal names mean equal keys and values. No block is part of an image, whose tokens
see each other. The cache has a bound in bytes; the least recently used blocks are evicted first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelword.generation.kv_slots import KVBlock, KVSlots
from pixelword.processing.types import Encoded

#: Tokens of a block of text.
BLOCK = 16


@dataclass(frozen=True)
class PrefixBlock:
    """Tokens [start, stop) of a prompt, named by them and everything before them."""

    start: int
    stop: int
    name: bytes


def prefix_blocks(prompt: Encoded) -> list[PrefixBlock]:
    """The whole blocks of a prompt, in order; a last block that is not full is left out."""
    found: list[PrefixBlock] = []
    name = b""
    for start, stop, content in _contents(prompt):
        name = hashlib.sha256(name + content).digest()
        found.append(PrefixBlock(start, stop, name))
    return found


def extend_blocks(known: Sequence[PrefixBlock], tokens: Sequence[int]) -> list[PrefixBlock]:
    """The blocks of a prompt and of what was generated after it. tokens: all of both; no image is read again."""
    found = list(known)
    start, name = (known[-1].stop, known[-1].name) if known else (0, b"")
    ids = torch.tensor(list(tokens), dtype=torch.int64)
    for a, b, content in _blocks(ids, start, len(ids)):
        if b - a == BLOCK:
            name = hashlib.sha256(name + content).digest()
            found.append(PrefixBlock(a, b, name))
    return found


def _contents(prompt: Encoded) -> Iterator[tuple[int, int, bytes]]:
    ids, at = prompt.input_ids, 0
    for image in prompt.images:
        yield from _blocks(ids, at, image.start)
        pixels = prompt.pixel_values[image.patches].contiguous()
        grid = repr(list(image.grid_hw)).encode()
        yield image.start, image.stop, b"picture" + grid + hashlib.sha256(pixels.numpy().data).digest()
        at = image.stop
    for start, stop, content in _blocks(ids, at, len(ids)):
        if stop - start == BLOCK:  # the end may still grow
            yield start, stop, content


def _blocks(ids: Tensor, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
    for a in range(start, stop, BLOCK):
        b = min(a + BLOCK, stop)
        yield a, b, b"text" + ids[a:b].numpy().tobytes()


_TENSOR_BYTES = 460  # of a tensor beside its numbers: object, storage, allocation; measured on a CPU


class PrefixCache:
    """Blocks by name, at most `most_bytes` of them. Not for several threads at once.

    tokens_asked, tokens_found: of all prompts so far, for a server's figures.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.nbytes = 0
        self.tokens_asked = self.tokens_found = 0
        self._held: OrderedDict[bytes, list[KVBlock]] = OrderedDict()

    def lookup(self, prompt: Sequence[PrefixBlock], length: int) -> int:
        """How many tokens of a prompt's beginning are cached.

        length: of the prompt; its last token is always left to be read, since its logits are wanted.
        """
        found = 0
        for block in prompt:
            if block.name not in self._held or block.stop >= length:
                break
            found = block.stop
        self.tokens_asked += length
        self.tokens_found += found
        return found

    def restore(self, prompt: Sequence[PrefixBlock], length: int, slots: KVSlots, slot: int) -> None:
        """Write the first `length` tokens of a prompt, as many as `lookup` found, into a slot."""
        known = [block for block in prompt if block.stop <= length]
        for block in known:
            slots.put(slot, block.start, self._held[block.name])
        self._touch(known)

    def store(self, read: Sequence[PrefixBlock], slots: KVSlots, slot: int) -> None:
        """Keep the blocks of a slot that are not kept yet."""
        for block in read:
            if block.name in self._held:
                continue
            taken = slots.take(slot, block.start, block.stop)
            size = _size(taken)
            if size > self.most_bytes:
                break
            self._held[block.name] = taken
            self.nbytes += size
        self._touch(read)
        while self.nbytes > self.most_bytes:
            _, gone = self._held.popitem(last=False)
            self.nbytes -= _size(gone)

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self.nbytes = 0

    def _touch(self, used: Sequence[PrefixBlock]) -> None:
        """The beginning is the last to go: without it the rest is of no use."""
        for block in reversed(used):
            if block.name in self._held:
                self._held.move_to_end(block.name)


def _size(stretches: Sequence[KVBlock]) -> int:
    """Bytes of memory, in a CPU's also those of the tensors themselves, which are a third of it for small models."""
    return sum(keys.nbytes + values.nbytes + 2 * _TENSOR_BYTES for keys, values in stretches)

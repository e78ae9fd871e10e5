"""Encoded samples -> one `Pack` of fixed shape, every document with its own boundary.

A packed batch is always (rows, length), so the layers compile once. `cu_seqlens` marks the documents in the
flattened stream of rows * length tokens; a document never crosses a row, and the padding at a row's end is a document
of its own, without labels. Nothing else describes visibility: the interval of every query follows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from pixelword.data.types import DocumentSpan, Pack
from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.processing.types import Encoded

LossWeight = Literal["token", "square", "sample"]

IGNORED = -100  # the label without a loss, as torch's cross entropy names it
MISSES = 3  # a pack is full when this many samples in a row find no place


def token_weight(answer_tokens: int, scheme: LossWeight) -> float:
    """Loss weight of one answer token in a sample of `answer_tokens`: 1, 1/sqrt(n) (as NEO trains) or 1/n."""
    if scheme == "token" or answer_tokens == 0:
        return 1.0
    return 1.0 / math.sqrt(answer_tokens) if scheme == "square" else 1.0 / answer_tokens


class Packer:
    """Documents in `rows` rows of `length` tokens; `pack()` lays them out as tensors."""

    def __init__(self, rows: int, length: int, pad_token_id: int, loss_weight: LossWeight = "square") -> None:
        self.rows, self.length = rows, length
        self.pad_token_id, self.loss_weight = pad_token_id, loss_weight
        self._contents: list[list[tuple[str, Encoded]]] = [[] for _ in range(rows)]
        self._used = [0] * rows

    def place(self, row: int, encoded: Encoded, name: str = "") -> None:
        """Append a document to a row. Raises InputError if it does not fit."""
        if self._used[row] + len(encoded) > self.length:
            raise InputError(
                f"a sample of {len(encoded)} tokens does not fit a row of {self.length} with {self._used[row]} in use: "
                "raise data.length or lower max_pixels"
            )
        self._contents[row].append((name, encoded))
        self._used[row] += len(encoded)

    def add(self, encoded: Encoded, name: str = "") -> bool:
        """Append a document to the first row with room; False if there is none. InputError if it fits no empty row."""
        if len(encoded) > self.length:
            raise InputError(
                f"a sample of {len(encoded)} tokens does not fit a row of {self.length}: raise data.length or lower "
                "max_pixels"
            )
        row = next((row for row, used in enumerate(self._used) if used + len(encoded) <= self.length), None)
        if row is None:
            return False
        self.place(row, encoded, name)
        return True

    def pack(self) -> Pack:
        """Lay the documents out, row by row, images in order of appearance."""
        shape = (self.rows, self.length)
        input_ids = torch.full(shape, self.pad_token_id, dtype=torch.int64)
        labels = torch.full(shape, IGNORED, dtype=torch.int64)
        weights = torch.zeros(shape, dtype=torch.float32)
        types = torch.zeros(shape, dtype=torch.int64)
        placed = [encoded for row in self._contents for _, encoded in row]
        documents = self._documents()
        for document, encoded in zip(documents, placed, strict=True):
            row, place = document.row, document.tokens
            input_ids[row, place] = encoded.input_ids
            labels[row, place] = encoded.labels
            types[row, place] = encoded.mm_token_type_ids
            answered = encoded.labels != IGNORED
            weights[row, place] = answered.float() * token_weight(int(answered.sum()), self.loss_weight)
        return Pack(
            input_ids=input_ids,
            labels=labels,
            loss_weight=weights,
            mm_token_type_ids=types,
            pixel_values=_join([e.pixel_values for e in placed], torch.zeros(0, 768)),
            image_grid_hw=_join([e.image_grid_hw for e in placed], torch.zeros(0, 2, dtype=torch.int64)),
            cu_seqlens=torch.tensor(self._boundaries(documents), dtype=torch.int32),
            tokens=sum(self._used),
            pairs=sum(visible_pairs(len(e), map(len, e.images)) for e in placed),
            documents=documents,
        )

    def _documents(self) -> tuple[DocumentSpan, ...]:
        """Return the document spans, with image spans shifted to the row and the pack's pixels."""
        found: list[DocumentSpan] = []
        patches = 0
        for row, documents in enumerate(self._contents):
            start = 0
            for name, encoded in documents:
                images = tuple(image.moved(tokens=start, patches=patches) for image in encoded.images)
                found.append(DocumentSpan(row, start, start + len(encoded), images, name))
                start, patches = start + len(encoded), patches + len(encoded.pixel_values)
        return tuple(found)

    def _boundaries(self, documents: Iterable[DocumentSpan]) -> list[int]:
        """Return `cu_seqlens`: ends of documents and of rows, whose padding attends only to itself."""
        ends = {document.row * self.length + document.stop for document in documents}
        return sorted({0, *ends, *((row + 1) * self.length for row in range(self.rows))})


def visible_pairs(tokens: int, pictures: Iterable[int]) -> int:
    """Visible (query, key) pairs of a document: causal, and every image of n visual tokens sees itself whole."""
    return tokens * (tokens + 1) // 2 + sum(n * (n - 1) // 2 for n in pictures)


def _join(parts: Sequence[torch.Tensor], empty: torch.Tensor) -> torch.Tensor:
    """Concatenate along the first axis; `empty` if the list is empty."""
    filled = [part for part in parts if part.shape[0]]
    return torch.cat(filled) if filled else empty


def fill(samples: Iterator[Encoded], packer: Packer) -> Pack:
    """Add samples until `MISSES` in a row do not fit, or none are left, and return the pack."""
    missed = 0
    for encoded in samples:
        missed = 0 if packer.add(encoded) else missed + 1
        if missed == MISSES:
            break
    return packer.pack()


def seeded_pack(draw: Callable[[np.random.Generator], Encoded], packer: Packer, seed: Sequence[int]) -> Pack:
    """Return the pack of `seed`, a pure function of it, so that a run can resume at any pack."""
    rng = np.random.default_rng(list(seed))
    return fill((draw(rng) for _ in itertools.count()), packer)

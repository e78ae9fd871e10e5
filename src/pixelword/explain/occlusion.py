"""Occlusion: the effect of hiding parts of an image, the only map that is an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.explain.trace import Reading, Seen

#: Tokens in one batch of hidden variants, at most.
_TOKENS = 8192


@dataclass(frozen=True)
class Cell:
    """A square of visual tokens, hidden together. tokens: their indices among all visual tokens."""

    picture: int
    row: int
    column: int
    rows: int
    columns: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Occlusion:
    """drops: (N, cells) decrease of each word's log-probability, in nats, when only this cell is hidden."""

    cells: tuple[Cell, ...]
    drops: Tensor

    def over_tokens(self, visual: int) -> Tensor:
        """Return the drop of each visual token's cell: (N, visual)."""
        spread = torch.zeros(len(self.drops), visual)
        for number, cell in enumerate(self.cells):
            spread[:, list(cell.tokens)] = self.drops[:, number : number + 1]
        return spread


def cut(pictures: Sequence[Seen], most: int) -> tuple[Cell, ...]:
    """Divide images into at most `most` square cells of one size; single visual tokens if few enough.

    Raises InputError: more images than cells, so that not even whole images could be hidden one by one.
    """
    if len(pictures) > most:
        raise InputError(f"{len(pictures)} images or frames cannot be hidden {most} times: allow more occlusions")
    side = 1
    while sum(-(-picture.rows // side) * -(-picture.columns // side) for picture in pictures) > most:
        side += 1
    found: list[Cell] = []
    first = 0
    for number, item in enumerate(pictures):
        for row in range(0, item.rows, side):
            for column in range(0, item.columns, side):
                high, wide = min(side, item.rows - row), min(side, item.columns - column)
                tokens = (first + (row + r) * item.columns + column + c for r in range(high) for c in range(wide))
                found.append(Cell(number, row, column, high, wide, tuple(tokens)))
        first += item.rows * item.columns
    return tuple(found)


class Hider:
    """Computes the likelihood of a reading's words with some cells painted over.

    A hidden cell gets the mean colour of its image: a hole that is not a black square and carries no edge of its own in
    a plain image. The network reads the changed pixels afresh; nothing is masked inside it.
    """

    def __init__(self, reading: Reading, cells: Sequence[Cell]) -> None:
        self.reading, self.cells = reading, cells
        processor = reading.model.config.vision_config
        self._merge = processor.merge_size
        self._means = [self._mean(picture) for picture in reading.pictures]

    @cached_property
    def untouched(self) -> Tensor:
        """(N,) log-probabilities of the words with nothing hidden."""
        return self.likelihoods([()])[0]

    def likelihoods(self, hidden: Sequence[Sequence[int]]) -> Tensor:
        """(variants, N) log-probabilities of the words; a variant is the numbers of its hidden cells."""
        rows = max(1, _TOKENS // self.reading.length)
        return torch.cat([self._read(hidden[first : first + rows]) for first in range(0, len(hidden), rows)])

    @torch.no_grad()
    def _read(self, variants: Sequence[Sequence[int]]) -> Tensor:
        reading, count = self.reading, len(variants)
        inputs = reading.inputs
        output = reading.model(
            input_ids=inputs["input_ids"].expand(count, -1),
            mm_token_type_ids=inputs["mm_token_type_ids"].expand(count, -1),
            pixel_values=torch.cat([self.painted(variant) for variant in variants]),
            image_grid_hw=inputs["image_grid_hw"].repeat(count, 1),
            use_cache=False,
            logits_to_keep=reading.rows,
        )
        chances = output.logits.float().log_softmax(-1)
        return chances.gather(-1, reading.word_ids.expand(count, -1)[..., None])[..., 0].cpu()

    def painted(self, hidden: Sequence[int]) -> Tensor:
        pixels = self.reading.inputs["pixel_values"].clone()
        for number in hidden:
            cell = self.cells[number]
            pixels[self._patches(cell)] = self._means[cell.picture]
        return pixels

    def _patches(self, cell: Cell) -> list[int]:
        """Return the indices of a cell's patches: `merge` by `merge` per visual token, in row-major order."""
        picture, merge = self.reading.pictures[cell.picture], self._merge
        rows = range(cell.row * merge, (cell.row + cell.rows) * merge)
        columns = range(cell.column * merge, (cell.column + cell.columns) * merge)
        return [picture.patches + row * picture.columns * merge + column for row in rows for column in columns]

    def _mean(self, picture: Seen) -> Tensor:
        """(3 * patch * patch,) a patch of the image's mean colour."""
        stop = picture.patches + picture.rows * picture.columns * self._merge**2
        own = self.reading.inputs["pixel_values"][picture.patches : stop]
        channels = own.unflatten(-1, (3, -1)).mean((0, 2))
        return channels.repeat_interleave(own.shape[-1] // 3)


def occlude(reading: Reading, most: int = 144) -> tuple[Hider, Occlusion]:
    """Hide each cell separately. Raises InputError if there are no images, or more than `most` allows."""
    if not reading.pictures:
        raise InputError("the prompt has no image to hide parts of")
    cells = cut(reading.pictures, most)
    hider = Hider(reading, cells)
    drops = hider.untouched - hider.likelihoods([(number,) for number in range(len(cells))])
    return hider, Occlusion(cells, drops.T.contiguous())

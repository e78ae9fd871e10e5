"""The loader hands out the same packs in the same order for any number of workers and any start."""

from __future__ import annotations

import torch

from pixelword.data.loader import packs
from pixelword.data.schema import Pack


def numbered(step: int) -> Pack:
    ids = torch.full((1, 4), step)
    return Pack(ids, ids, ids.float(), ids, torch.zeros(0, 768), torch.zeros(0, 2), torch.tensor([0, 4]), tokens=3)


def numbers(**options: int) -> list[int]:
    return [int(pack.input_ids[0, 0]) for pack in packs(numbered, **options)]


def test_order_does_not_depend_on_workers() -> None:
    assert numbers(start=2, end=7, workers=0) == [2, 3, 4, 5, 6]
    assert numbers(start=2, end=7, workers=2) == [2, 3, 4, 5, 6]


def test_packs_cross_the_process_border_whole() -> None:
    (pack,) = packs(numbered, 5, 6, workers=1)
    assert torch.equal(pack.labels, numbered(5).labels)
    assert pack.tokens == 3


def test_nothing_is_left_to_draw_at_the_end() -> None:
    assert numbers(start=7, end=7, workers=0) == []

"""The loader hands out the same packs in the same order for any number of workers; faults are one clear line."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from typing import Any

import pytest
import torch

from pixelword.data.loader import packs
from pixelword.data.types import Pack
from pixelword.errors import InputError, PixelwordError


def numbered(number: int) -> Pack:
    ids = torch.full((1, 4), number)
    return Pack(ids, ids, ids.float(), ids, torch.zeros(0, 768), torch.zeros(0, 2), torch.tensor([0, 4]), tokens=3)


def numbers(wanted: Iterable[int], **options: Any) -> list[int]:
    return [int(pack.input_ids[0, 0]) for pack in packs(numbered, wanted, **options)]


def test_order_does_not_depend_on_workers() -> None:
    assert numbers(range(2, 7), workers=0) == [2, 3, 4, 5, 6]
    assert numbers(range(2, 7), workers=2) == [2, 3, 4, 5, 6]


def test_numbers_may_leap_and_come_from_a_generator() -> None:
    assert numbers((n * n for n in (3, 1, 2)), workers=1) == [9, 1, 4]


def test_packs_cross_the_process_border_whole() -> None:
    (pack,) = packs(numbered, [5], workers=1)
    assert torch.equal(pack.labels, numbered(5).labels)
    assert pack.tokens == 3


def test_nothing_is_left_to_draw_at_the_end() -> None:
    assert numbers([], workers=0) == []


def test_a_fault_in_a_worker_is_its_own_line() -> None:
    def make(number: int) -> Pack:
        raise InputError(f"pack {number}: no such thing")

    for workers in (0, 1):
        with pytest.raises(InputError, match=r"^pack 4: no such thing$"):
            list(packs(make, [4], workers=workers))


def test_a_bug_in_a_worker_keeps_its_traceback() -> None:
    def make(number: int) -> Pack:
        raise RuntimeError("a bug of ours")

    with pytest.raises(RuntimeError, match="a bug of ours") as caught:
        list(packs(make, [4], workers=1))
    assert not isinstance(caught.value, PixelwordError)


def test_a_dead_worker_says_so() -> None:
    def make(number: int) -> Pack:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return numbered(number)

    with pytest.raises(PixelwordError, match=r"a data worker died .*lower data.workers"):
        list(packs(make, range(3), workers=1))


def test_a_silent_worker_is_waited_for_no_longer_than_asked() -> None:
    def make(number: int) -> Pack:
        time.sleep(60)
        return numbered(number)

    with pytest.raises(PixelwordError, match=r"no pack came from 1 data workers in 0\.2 s"):
        list(packs(make, [0], workers=1, timeout=0.2))

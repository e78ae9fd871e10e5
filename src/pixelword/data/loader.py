"""Packs of a range of steps, drawn ahead of the training loop by worker processes, in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from pixelword.data.schema import Pack


class PackDataset(Dataset[Pack]):
    """Pack number k of a stage. `make(k)` must be a pure function of k: workers share nothing."""

    def __init__(self, make: Callable[[int], Pack]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> Pack:
        return self.make(step)


def _one(pack: Pack) -> Pack:
    return pack


def _start_worker(worker: int) -> None:
    """One core a worker, and no end by a signal meant for the trainer: it saves first and stops its workers itself."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def packs(make: Callable[[int], Pack], start: int, end: int, *, workers: int = 1, prefetch: int = 4) -> Iterator[Pack]:
    """Packs `start` .. `end` - 1 in order; the same packs for every number of workers (0 draws in this process)."""
    loader: DataLoader[Pack] = DataLoader(
        PackDataset(make),
        sampler=range(start, end),
        batch_size=None,  # a pack is a batch already
        collate_fn=_one,  # type: ignore[arg-type]  # without batches it gets one item, not a list
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        worker_init_fn=_start_worker if workers else None,
        multiprocessing_context="fork" if workers else None,
    )
    return iter(loader)

"""Loads packs by number, ahead of the training loop, in worker processes; yields them in order."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess

import torch
from torch.utils.data import DataLoader, Dataset

from pixelword.data.types import Pack
from pixelword.errors import PixelwordError


class PackDataset(Dataset["Pack | PixelwordError"]):
    """Dataset of a stage's packs. `make(k)` must be a pure function of k: workers share nothing."""

    def __init__(self, make: Callable[[int], Pack]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> Pack | PixelwordError:
        try:
            return self.make(number)
        except PixelwordError as error:  # one line for the user; torch would wrap it in a worker's traceback
            return error


def _one(pack: Pack) -> Pack:
    return pack


def _start_worker(worker: int) -> None:
    """Initialise a worker: one core, and signals ignored, since the trainer saves first and then stops its workers."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def packs(
    make: Callable[[int], Pack], numbers: Iterable[int], *, workers: int = 1, prefetch: int = 4, timeout: float = 0.0
) -> Iterator[Pack]:
    """Yield packs by number, in order; the same packs for any number of workers (0: in this process).

    numbers: may be a generator: it is advanced when a worker is free. prefetch: packs ahead for each worker.
    timeout: seconds to wait for one pack, 0 for ever. Raises PixelwordError when a worker dies or the wait is over.
    """
    loader: DataLoader[Pack | PixelwordError] = DataLoader(
        PackDataset(make),
        sampler=numbers,
        batch_size=None,  # a pack is a batch already
        collate_fn=_one,  # type: ignore[arg-type]  # without batches it gets one item, not a list
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        worker_init_fn=_start_worker if workers else None,
        multiprocessing_context="fork" if workers else None,
        timeout=timeout if workers else 0,
        generator=torch.Generator(),  # else it draws from the global one, and a resumed run's dropout differs
    )
    before = set(multiprocessing.active_children())
    made = iter(loader)
    end = partial(_end, set(multiprocessing.active_children()) - before)
    atexit.register(end)
    return _checked(made, end, partial(_explained, workers=workers, timeout=timeout))


def _end(workers: Iterable[BaseProcess]) -> None:
    """Kill remaining workers when this process crashes: it would wait for them, and they ignore SIGTERM."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises at every worker that is killed
    for worker in workers:
        worker.kill()


def _checked(
    made: Iterator[Pack | PixelwordError], end: Callable[[], None], explained: Callable[[str], str]
) -> Iterator[Pack]:
    """Yield the packs, with loader errors as one line."""
    while True:
        try:
            pack = next(made, None)
        except RuntimeError as error:  # torch has no narrower class for a dead or silent worker
            if "DataLoader" not in str(error) or "in DataLoader worker process" in str(error):
                raise
            end()
            raise PixelwordError(explained(str(error))) from error
        if pack is None:
            atexit.unregister(end)
            return
        if isinstance(pack, PixelwordError):
            raise pack
        yield pack


def _explained(message: str, *, workers: int, timeout: float) -> str:
    """Explain torch's error about a dead or silent worker, with what to do."""
    if "timed out" in message:
        return (
            f"no pack came from {workers} data workers in {timeout:g} s: the storage of the data does not answer, or "
            "one sample takes that long; check the storage, or raise data.timeout"
        )
    return (
        f"a data worker died ({message.splitlines()[0]}): most often memory ran out; lower data.workers or "
        "data.max_pixels, and go on with --resume auto"
    )

"""Stages on several ranks of this machine: processes with the environment that torchrun would give them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable

import pytest
import torch

TIMEOUT = 120  # seconds for all ranks of a test


def _rank(job: Callable[[int], None], rank: int, size: int, port: int) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)  # the forked process has no threads of OpenMP left
    try:
        job(rank)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


@pytest.fixture
def on_ranks() -> Callable[[int, Callable[[int], None]], None]:
    """on_ranks(2, job): job(rank) in two processes; fails when one of them does."""

    def run(size: int, job: Callable[[int], None]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        fork = multiprocessing.get_context("fork")  # what is imported here need not be imported again
        processes = [fork.Process(target=_rank, args=(job, rank, size, port)) for rank in range(size)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(TIMEOUT)
        late = [process for process in processes if process.is_alive()]
        for process in late:
            process.kill()
        assert not late, f"{len(late)} of {size} ranks were still at it after {TIMEOUT} s"
        assert [process.exitcode for process in processes] == [0] * size

    return run

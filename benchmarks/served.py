"""A `pixelword serve` of its own, as a process: started, watched from outside, and stopped as an operator would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_RUNNING = re.compile(r"^serving \S+ on (http://\S+)/v1$", re.MULTILINE)


@dataclass(frozen=True)
class Process:
    """What a server and its decoding workers hold: resident bytes of either, threads and open files of both."""

    bytes: int
    worker_bytes: int
    threads: int
    files: int


@dataclass(frozen=True)
class Served:
    """A server that runs: its address, its process, and the file with what it wrote."""

    address: str
    pid: int
    log: Path

    def measure(self) -> Process:
        """What the process and its children hold now (Linux)."""
        own, *workers = (held(pid) for pid in (self.pid, *children(self.pid)))
        workers_bytes, threads, files = (sum(column) for column in zip((0, *own[1:]), *workers, strict=True))
        return Process(own[0], workers_bytes, threads, files)


@contextmanager
def served(
    options: Sequence[str], log: Path, *, seconds: float = 180.0, threads: int | None = None
) -> Iterator[Served]:
    """`pixelword serve OPTIONS` on a free port, from its start to its clean end. Raises SystemExit when it fails to."""
    command = [sys.executable, "-m", "pixelword", "serve", *options, "--port", "0"]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        yield Served(_address(process, log, seconds), process.pid, log)
        process.send_signal(signal.SIGTERM)
        if (status := process.wait(60)) not in (0, -signal.SIGTERM):
            raise SystemExit(f"the server ended with status {status}; see {log}")
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := _RUNNING.search(log.read_text()):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"the server did not start; it wrote:\n{log.read_text()[-2000:]}")


def children(pid: int) -> list[int]:
    """Processes below one, whichever of its threads started them; those that have just ended are left out."""
    found: list[int] = []
    try:
        own = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _of_task(task)]
    except (FileNotFoundError, ProcessLookupError):
        return []
    for child in own:
        found += [child, *children(child)]
    return found


def _of_task(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
        return []


def held(pid: int) -> tuple[int, int, int]:
    """(resident bytes, threads, open files) of one process; nothing of one that has just ended."""
    try:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0, 0
    return int(status.get("VmRSS", "0").split()[0]) * 1024, int(status["Threads"]), files

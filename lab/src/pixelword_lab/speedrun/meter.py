"""A command in a process of its own, with the processor time that it and everything it started took."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelword.training.signals import StopSignals

_LOOK, _TELL = 0.1, 2.0  # seconds between looks at the process, and between reports of what it has used


@dataclass(frozen=True)
class Used:
    """What a process has used up to now.

    processor_seconds: user and system, of the process and of all that it started. seconds: on the clock.
    """

    processor_seconds: float
    seconds: float


def run(
    command: Sequence[str],
    log: Path,
    signals: StopSignals,
    report: Callable[[Used], None] = lambda used: None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, Used]:
    """Run a command to its end, its output appended to `log`.

    A signal that `signals` took is handed on once, as SIGTERM: training then saves, and ends.

    Args:
        report: called every few seconds with what was used so far, as far as the system shows it.

    Returns:
        The exit code (negative: the signal that ended it), and what was used.
    """
    began = time.monotonic()
    with log.open("ab") as file:
        # a group of its own: a terminal's Ctrl-C reaches it once, from here
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, process_group=0
        )
    try:
        return _wait(process, began, signals, report)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


def _wait(
    process: subprocess.Popen[bytes], began: float, signals: StopSignals, report: Callable[[Used], None]
) -> tuple[int, Used]:
    reported, handed_on = began, False
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        now = time.monotonic()
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, Used(usage.ru_utime + usage.ru_stime, now - began)
        if signals.asked is not None and not handed_on:
            process.send_signal(signal.SIGTERM)
            handed_on = True
        if now - reported > _TELL:
            reported = now
            report(Used(processor_seconds(process.pid), now - began))
        time.sleep(_LOOK)


def processor_seconds(pid: int, folder: Path = Path("/proc")) -> float:
    """User and system time of a running process and its descendants, ended ones that were waited for included.

    0.0 where the system has no /proc.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in folder.glob("[0-9]*/stat"):
        try:
            # the name, in brackets, may hold anything
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        own = int(stat.parent.name)
        parents[own], ticks[own] = int(fields[1]), sum(map(int, fields[11:15]))
    family, size = {pid}, 0
    while len(family) > size:
        size = len(family)
        family |= {own for own, parent in parents.items() if parent in family}
    return sum(ticks.get(own, 0) for own in family) / os.sysconf("SC_CLK_TCK")

"""What a command used is counted with all that it started, while it runs and when it has ended."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from pixelword.training.signals import StopSignals
from pixelword_lab.speedrun.meter import processor_seconds, run

#: Half a second of one process, and half a second of a second one that it starts, waits for, and outlives.
BUSY = """
import multiprocessing, time
def work():
    end = time.process_time() + 0.5
    while time.process_time() < end: pass
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
work()
print("done", flush=True)
time.sleep(float({wait}))
"""


def test_a_process_and_its_children_are_counted_once(tmp_path: Path) -> None:
    code, used = run([sys.executable, "-c", BUSY.format(wait=0)], tmp_path / "log.txt", StopSignals())
    assert code == 0 and used.processor_seconds == pytest.approx(1.0, abs=0.3) and used.seconds >= 0.9
    assert (tmp_path / "log.txt").read_text() == "done\n"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not show what processes use")
def test_a_running_process_is_counted_as_when_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelword_lab.speedrun.meter._TELL", 0.1)
    told: list[float] = []
    command = [sys.executable, "-c", BUSY.format(wait=1.0)]
    _, used = run(command, tmp_path / "log.txt", StopSignals(), lambda used: told.append(used.processor_seconds))
    assert told == sorted(told) and told[-1] == pytest.approx(used.processor_seconds, abs=0.1)
    assert processor_seconds(2**30) == 0.0


def test_a_signal_is_handed_on_once(tmp_path: Path) -> None:
    patient = (
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(143)); print('up', flush=True); "
        "time.sleep(60)"
    )
    log = tmp_path / "log.txt"

    def interrupt() -> None:
        while not (log.exists() and log.read_text()):
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    with StopSignals() as signals:
        thread = threading.Thread(target=interrupt)
        thread.start()
        code, used = run([sys.executable, "-c", patient], log, signals)
        thread.join()
    assert code == 143 and used.seconds < 30

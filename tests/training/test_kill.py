"""`pixelword train` from outside: killed at any moment, told to stop, out of disk; what follows is the whole run.

A server process that has imported everything forks the runs, so that each starts in a moment.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pixelword.training.recipe import Recipe

STEPS = 24
PATIENCE = 120.0  # seconds until a run must have got somewhere


def pixelword(arguments: list[str], told: Connection) -> None:
    """The command line, as a process of its own would run it; what it prints goes to `told`."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(told.fileno(), stream.fileno())
    from pixelword.cli import app

    app(arguments)


class Run:
    """`pixelword train` on the tiny stage: started, looked at, and stopped from outside."""

    def __init__(self, recipe: Recipe, *overrides: str, out: Path | None = None) -> None:
        self.out = out or recipe.out
        settings = ("threads=1", f"steps={STEPS}", "checkpoint={every: 1, keep: 3}", *overrides)
        self.arguments = ["train", str(recipe.out.parent / "tiny.yaml"), "--out", str(self.out), "--resume", "auto"]
        self.arguments += [part for setting in settings for part in ("--set", setting)]
        self.process: BaseProcess

    def start(self) -> Run:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pixelword.cli", "pixelword.training.launch"])
        self._told, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=pixelword, args=(self.arguments, theirs))
        self.process.start()
        theirs.close()
        return self

    def end(self) -> int:
        """Its exit code, once it has ended; `text` is what it printed."""
        with os.fdopen(os.dup(self._told.fileno()), encoding="utf-8") as told:
            self.text = told.read()
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None
        return self.process.exitcode

    def until(self, reached: Callable[[], bool]) -> bool:
        """Wait for a condition; False when the run ends before."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if not self.process.is_alive():
                return reached()
            assert time.monotonic() < deadline
        return True

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def losses(self) -> dict[int, float]:
        path = self.out / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return {event["step"]: event["loss"] for event in events if event["event"] == "train"}

    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in (self.out / "checkpoints").glob("*"))

    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.out / "final" / "model.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Recipe], Run]]:
    """The run that nothing stops, made once."""
    made: list[Run] = []

    def make(recipe: Recipe) -> Run:
        if not made:
            made.append(Run(recipe, out=tmp_path_factory.mktemp("whole") / "run").start())
            assert made[0].end() == 0, made[0].text
        return made[0]

    yield make


def assert_same(run: Run, other: Run) -> None:
    """Bitwise: the loss of every step and the weights at the end."""
    assert list(run.losses()) == [*range(1, STEPS + 1)]
    assert run.losses() == other.losses()
    ours, theirs = run.weights(), other.weights()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_killed_at_random_moments_is_bitwise_the_whole_run(tiny, whole) -> None:
    chance = random.Random(7)
    run = Run(tiny())
    torn = kills = 0
    while True:
        run.start()
        before = max(run.losses(), default=0)
        target = before + chance.randint(0, 5)
        run.until(lambda target=target: max(run.losses(), default=0) > target)
        if kills % 2:  # while a checkpoint is being written, if it can be caught
            run.until(lambda: any((run.out / "checkpoints").glob(".unfinished-*")))
        else:
            time.sleep(chance.random() * 0.05)
        run.send(signal.SIGKILL) if run.process.is_alive() else None
        if (code := run.end()) == 0:
            break
        assert code == -signal.SIGKILL, run.text
        kills += 1
        torn += any(name.startswith(".unfinished-") for name in run.checkpoints())
    assert kills >= 4 and torn >= 1
    assert run.checkpoints() == ["step-00000022", "step-00000023", "step-00000024"]
    assert_same(run, whole(tiny()))


def test_told_to_stop_saves_and_goes_on(tiny, whole) -> None:
    run = Run(tiny(), "checkpoint={every: 100}").start()
    assert run.until(lambda: 5 in run.losses())
    run.send(signal.SIGTERM)
    assert run.end() == 128 + signal.SIGTERM
    (saved,) = run.checkpoints()
    assert "stopped by SIGTERM" in run.text and not (run.out / "final").exists()
    assert saved == f"step-{max(run.losses()):08d}"
    assert run.start().end() == 0
    assert_same(run, whole(tiny()))


def _assert_one_line(run: Run, reason: str) -> None:
    (line,) = [line for line in run.text.splitlines() if line.startswith("error:")]
    assert reason in line and "--resume auto" in line
    assert "Traceback" not in run.text


@pytest.mark.parametrize("room", [0, 2048, 100_000])
def test_a_disk_that_takes_no_more_is_one_line_and_nothing_is_lost(tiny, whole, room) -> None:
    """At every size of what still fits: not a line of metrics, a part of them, all but a checkpoint."""
    run = Run(tiny()).start()
    assert run.until(lambda: "step-00000004" in run.checkpoints())
    assert run.process.pid is not None
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (room, room))
    assert run.end() == 2
    _assert_one_line(run, "File too large")
    assert run.checkpoints() and all(name.startswith("step-") for name in run.checkpoints())
    assert run.start().end() == 0
    assert_same(run, whole(tiny()))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which only root may")
def test_a_full_disk_is_one_line_and_once_there_is_room_training_goes_on(tiny, whole, tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounts a small disk, which is not allowed here: {mounted.stderr.strip()}")
    try:
        run = Run(tiny(), "checkpoint={every: 1, keep: 30}", out=disk / "run")
        assert run.start().end() == 2
        _assert_one_line(run, "No space left on device")
        assert run.checkpoints() and all(name.startswith("step-") for name in run.checkpoints())
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        assert run.start().end() == 0
        assert_same(run, whole(tiny()))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_two_runs_in_one_folder_are_one_too_many(tiny, whole) -> None:
    run, other = Run(tiny()).start(), Run(tiny())
    assert run.until(lambda: 1 in run.losses())
    assert other.start().end() == 2
    assert other.text.strip().endswith("another process is training here: wait for its end, or name another --out")
    assert run.end() == 0
    assert_same(run, whole(tiny()))

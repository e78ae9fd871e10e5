"""torchrun starts the ranks anew after one of them was killed, and they go on from the last whole checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelword.training.recipe import Recipe

PATIENCE = 300.0  # seconds until a run must have got somewhere
STEPS = 10


def torchrun(recipe: Recipe, out: Path, log: Path) -> subprocess.Popen[bytes]:
    """Two ranks of `pixelword train`, started anew up to twice."""
    settings = (f"steps={STEPS}", "threads=1", "data.packs=2", "optimizer.name=adamw", "checkpoint={every: 2, keep: 9}")
    with log.open("wb") as file:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
                *("--max-restarts=2", "--monitor-interval=0.1", "-m", "pixelword"),
                *("train", str(recipe.out.parent / "tiny.yaml"), "--out", str(out), "--resume", "auto"),
                *(part for setting in settings for part in ("--set", setting)),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def losses(out: Path) -> dict[int, float]:
    lines = (out / "metrics.jsonl").read_text().splitlines() if (out / "metrics.jsonl").exists() else []
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return {event["step"]: event["loss"] for event in events if event["event"] == "train"}


def ranks_of(agent: subprocess.Popen[bytes]) -> dict[str, int]:
    """RANK -> process id, of the processes that torchrun started."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    found = {}
    for child in map(int, children):
        variables = dict(v.split("=", 1) for v in Path(f"/proc/{child}/environ").read_text().split("\0") if "=" in v)
        if "RANK" in variables:
            found[variables["RANK"]] = child
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the ranks by Linux's /proc")
def test_a_killed_rank_is_started_again_and_the_run_is_the_whole_one(tiny, tmp_path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    logs = {out: tmp_path / f"{out.name}.log" for out in (whole, killed)}
    assert torchrun(tiny(), whole, logs[whole]).wait(PATIENCE) == 0, logs[whole].read_text()
    agent = torchrun(tiny(), killed, logs[killed])
    deadline = time.monotonic() + PATIENCE
    try:
        while max(losses(killed), default=0) < 5:
            assert agent.poll() is None and time.monotonic() < deadline, logs[killed].read_text()
            time.sleep(0.02)
        os.kill(ranks_of(agent)["1"], signal.SIGKILL)
        assert agent.wait(PATIENCE) == 0, logs[killed].read_text()
    finally:
        for process in (*ranks_of(agent).values(), agent.pid) if agent.poll() is None else ():
            os.kill(process, signal.SIGKILL)
    assert "from step" in logs[killed].read_text()
    assert list(losses(killed)) == [*range(1, STEPS + 1)]
    assert losses(killed) == losses(whole)

"""A profile is written once, readable, and of steps after the first ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pixelword.training.profile import SKIPPED, WARM, WRITTEN, StepProfiler


def steps(folder: Path, count: int, device: str = "cpu", rank: int = 0) -> StepProfiler:
    weight = torch.ones(64, 64, device=device, requires_grad=True)
    with StepProfiler(folder, torch.device(device), rank) as profiler:
        for _ in range(count):
            (weight @ weight).sum().backward()
            profiler.step()
    return profiler


def products(folder: Path) -> int:
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    return sum(event.get("name") == "aten::mm" for event in events)


def test_a_few_steps_are_written(tmp_path) -> None:
    assert steps(tmp_path, SKIPPED + WARM + WRITTEN + 5).done
    assert products(tmp_path) == 3 * WRITTEN  # one forward, two backward
    assert "aten::mm" in (tmp_path / "operators.txt").read_text()
    memory = json.loads((tmp_path / "memory.json").read_text())
    assert len(memory["seconds"]) == len(memory["bytes"]) > 0
    assert memory["seconds"] == sorted(memory["seconds"])
    assert memory["peak"] == max(memory["bytes"]) >= 64 * 64 * 4


def test_a_run_that_ends_earlier_writes_what_there_is(tmp_path) -> None:
    steps(tmp_path, SKIPPED + WARM + 1)
    assert products(tmp_path) == 3


def test_other_ranks_write_beside(tmp_path) -> None:
    steps(tmp_path, SKIPPED + WARM + WRITTEN, rank=1)
    assert {path.name for path in tmp_path.iterdir()} == {
        "trace-rank1.json",
        "operators-rank1.txt",
        "memory-rank1.json",
    }


@pytest.mark.gpu
def test_a_gpu_gives_a_snapshot(tmp_path) -> None:
    steps(tmp_path, SKIPPED + WARM + WRITTEN, device="cuda")
    assert (tmp_path / "memory.pickle").stat().st_size > 0

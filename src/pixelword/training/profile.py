"""`--profile`: time and memory of a few steps, written to OUT/profile.

trace.json      every operator, for ui.perfetto.dev or chrome://tracing
operators.txt   the same summed up by operator
memory.pickle   CUDA: every block with the lines that allocated it, for pytorch.org/memory_viz
memory.json     CPU: bytes allocated over time, counted from the first profiled step
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

import torch
from torch.profiler import ProfilerActivity, profile, schedule

#: Steps let by (layers compile in them), then steps that warm the profiler up, then steps that are written.
SKIPPED, WARM, WRITTEN = 3, 1, 3
_BLOCKS = 200_000  # allocations that a snapshot of a GPU's memory remembers


class StepProfiler:
    """A context manager around the loop; call `step` after every step. It is silent again once its steps are written.

    Args:
        folder: is made.
        device: that the run computes on.
        rank: every rank writes its own files when there are several, with `-rank1` and so on in their names.
    """

    def __init__(self, folder: Path, device: torch.device, rank: int = 0) -> None:
        self.folder, self.device = folder, device
        self.done = False
        self._suffix = f"-rank{rank}" if rank else ""
        self._steps = 0
        self._cuda = device.type == "cuda"
        self._profile = profile(
            activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._cuda else [])],
            schedule=schedule(wait=SKIPPED, warmup=WARM, active=WRITTEN, repeat=1),
            on_trace_ready=self._write,
            record_shapes=True,
            profile_memory=True,
        )

    def __enter__(self) -> StepProfiler:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._profile.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.stop()  # of a run that ends earlier it writes what there is

    def step(self) -> None:
        """Mark the end of a training step."""
        self._steps += 1
        if self._cuda and self._steps == SKIPPED + WARM:
            torch.cuda.memory._record_memory_history(max_entries=_BLOCKS)
        if not self.done:
            self._profile.step()

    def _write(self, profiled: profile) -> None:
        self.done = True
        trace = self._file("trace.json")
        profiled.export_chrome_trace(str(trace))
        order = "self_device_time_total" if self._cuda else "self_cpu_time_total"
        table = profiled.key_averages().table(sort_by=order, row_limit=60, max_name_column_width=80)
        self._file("operators.txt").write_text(table, encoding="utf-8")
        if self._cuda:
            torch.cuda.memory._dump_snapshot(str(self._file("memory.pickle")))
            torch.cuda.memory._record_memory_history(enabled=None)
        else:
            self._file("memory.json").write_text(json.dumps(_allocated(trace)) + "\n", encoding="utf-8")

    def _file(self, name: str) -> Path:
        path = self.folder / name
        return path.with_name(f"{path.stem}{self._suffix}{path.suffix}")


def _allocated(trace: Path) -> dict[str, list[float] | float]:
    """Bytes in use after each allocation and release of a trace, their times in seconds, and the most in use."""
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    found = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]")
    start = found[0][0] if found else 0.0
    used, total = [], 0
    for _, change in found:
        total += change
        used.append(total)
    return {"seconds": [round((ts - start) / 1e6, 6) for ts, _ in found], "bytes": used, "peak": max(used, default=0)}

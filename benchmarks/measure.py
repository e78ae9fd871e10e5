"""One sample: one candidate on one case, alone in its process."""

from __future__ import annotations

import os
import re
import resource
import time
from pathlib import Path
from typing import Any

import torch
from cases import CASES, FULL, QUICK, QUICK_CASES, Case
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.generation.streamers import BaseStreamer

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
STAT, LOAD = Path("/proc/stat"), Path("/proc/loadavg")


class Clock(BaseStreamer):
    """When each token became known; `generate` hands over the prompt first."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.processor: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())
        self.processor.append(time.process_time())

    def end(self) -> None:
        pass


class Largest(TorchDispatchMode):
    """`elements` of the largest tensor that any operation returns while this is entered, backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.elements = max(self.elements, leaf.numel())
        return result


def competing(before: tuple[float, float, float] | None, after: tuple[float, float, float] | None) -> float | None:
    """Cores' worth of work that others did between two `ticks()`; None where the system does not tell."""
    if before is None or after is None:
        return None
    wall, busy, own = (b - a for a, b in zip(before, after, strict=True))
    return max(busy - own, 0.0) / wall


def ticks() -> tuple[float, float, float] | None:
    """Seconds: the clock, all processes' processor time (stolen time included), this process's own."""
    if not STAT.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, STAT.read_text().splitlines()[0].split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    own = os.times()
    return time.monotonic(), busy, own.user + own.system


def resident() -> int:
    """Resident bytes now; where /proc is missing, the peak so far."""
    return _status("VmRSS") if STATUS.exists() else peak()


def restart_peak() -> None:
    """Let the peak begin anew, so that importing and loading do not count (Linux)."""
    if CLEAR.exists():
        CLEAR.write_text("5")


def peak() -> int:
    """Peak resident bytes. Linux' VmHWM: ru_maxrss also remembers the process that started this one."""
    return _status("VmHWM") if STATUS.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found is not None, f"/proc/self/status has no {key}"
    return int(found[1]) * 1024


def sample(candidate: str, case_name: str, *, quick: bool, new_tokens: int) -> dict[str, Any]:
    """Load, warm up, then answer once.

    Returns:
        first_token_s: from ready tensors (token ids and prepared pixels) to the first token's id.
        decode_tokens_s: tokens per second of all rows together, over the `new_tokens` after the first.
        first_token_processor_s, decode_processor_s: this process's own processor time, to the first token and for each
            step after it: what is left to compare by on a machine that others use too (best with --threads 1).
        peak_bytes, peak_over_model_bytes: resident memory at most, and less what it was with model and inputs ready.
        parameters, weight_bytes, length, competing_cores (None off Linux), load_average.
    """
    from candidates import BUILDERS, load

    shape, cases = (QUICK, QUICK_CASES) if quick else (FULL, CASES)
    case = cases[case_name]
    model = load(candidate, shape)
    weights = {id(p): p for p in model.parameters()}.values()
    generator = torch.Generator().manual_seed(1)
    make = BUILDERS[candidate].inputs
    inputs = make(case, shape, generator)
    # One small picture of the same kind: libraries start their threads and pick kernels.
    small = Case("warm-up", "warm-up", 1, min(case.pictures, 2), min(case.side, 4), case.video)
    baseline = resident()
    with torch.inference_mode():
        model.generate(**make(small, shape, generator), max_new_tokens=4, do_sample=False)
        restart_peak()
        clock, before = Clock(), ticks()
        start, used = time.perf_counter(), time.process_time()
        tokens = model.generate(**inputs, max_new_tokens=new_tokens + 1, do_sample=False, streamer=clock)
        after = ticks()
    expected = (case.batch, inputs["input_ids"].shape[1] + new_tokens + 1)
    assert tokens.shape == expected, f"{tuple(tokens.shape)} tokens came back, not {expected}"
    first, last = clock.times[1], clock.times[-1]  # times[0] is the prompt
    most = peak()
    return {
        "first_token_s": first - start,
        "decode_tokens_s": case.batch * new_tokens / (last - first),
        "first_token_processor_s": clock.processor[1] - used,
        "decode_processor_s": (clock.processor[-1] - clock.processor[1]) / new_tokens,
        "peak_bytes": most,
        "peak_over_model_bytes": max(most - baseline, 0),
        "parameters": sum(p.numel() for p in weights),
        "weight_bytes": sum(p.numel() * p.element_size() for p in weights),
        "length": inputs["input_ids"].shape[1],
        "threads": torch.get_num_threads(),
        "competing_cores": competing(before, after),
        "load_average": LOAD.read_text().strip() if LOAD.exists() else None,
    }

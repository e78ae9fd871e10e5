"""Attention over one pack of documents on a GPU, forward and backward: flex, its tiles, and V padded for flash kernels.

    python benchmarks/bench_flex.py                        # both widths, 16K tokens, every kernel, the tile sweep
    python benchmarks/bench_flex.py --widths 256/128 --no-sweep
    python benchmarks/bench_flex.py --render benchmarks/results/flex-….jsonl      # the page again
    python benchmarks/bench_flex.py --quick                # tiny; runs on a CPU, where flex has no backward pass

Every kernel's output and gradients are compared with float64 first, at `--check` tokens. Samples go to
`<output>/flex-<hardware>-<date>.jsonl` one by one, the page beside it.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import running
import torch
from attention_kernels import WIDTHS, Heads, Kernel, Row, errors, kernels, row, tensors, together

SCRIPT = "bench_flex.py"
#: An exact kernel's output and gradients may differ from float64 by this much, relative, in bf16 (2^-8 a rounding).
TOLERANCE = 2e-2

METHOD = """\
## How

- One pack of {length:,} tokens, documents as they come (`benchmarks/train_candidates.py`), {pairs:,} visible pairs,
  bf16, random q, k, v. Milliseconds are medians of {repeats} after {warm} to warm up; the backward pass is timed alone.
- **TFLOP/s** counts visible pairs alone, at the true widths: 2 · heads · pairs · (QK + V) forward, twice that backward.
  What a kernel computes again, pads or masks does not count.
- **Error** is the largest of |difference| / |reference| over output, dq, dk and dv, against float64 at {check:,}
  tokens; above {tolerance:g} a kernel that should be exact is marked. *Causal only* does not show pictures whole: a
  floor for time, not a candidate.
- **Memory** is the peak beyond the inputs, forward and backward.
"""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", nargs="+", choices=list(WIDTHS), default=list(WIDTHS), help="QK / V of a head")
    parser.add_argument("--length", type=int, default=16384, help="tokens of the pack")
    parser.add_argument("--check", type=int, default=2048, help="tokens at which errors are measured")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--warm", type=int, default=5)
    parser.add_argument("--sweep", action=argparse.BooleanOptionalAction, default=True, help="try flex's tiles")
    running.add_options(parser, gpu=True)
    args = parser.parse_args(argv)
    if args.quick:
        args.length, args.check, args.repeats, args.warm, args.sweep = 512, 256, 1, 1, False
    elif not args.render and not torch.cuda.is_available():
        parser.error("no CUDA GPU here: nothing to measure. --quick tries the paths on a CPU")
    return args


def sample(kernel: Kernel, heads: Heads, small: Row, large: Row, args: argparse.Namespace) -> dict[str, Any]:
    """Errors on the small row, times and memory on the large one; `failed` says why there are none."""
    result: dict[str, Any] = {"kernel": kernel.title, "exact": kernel.exact, "measure": kernel.measure}
    try:
        found = errors(kernel, heads, small, torch.bfloat16) if kernel.measure == "both" else None
        return result | {"errors": found, "pairs": large.pairs} | _timed(kernel, heads, large, args)
    except Exception as error:  # a kernel that is not there, does not compile or does not fit is a result, too
        return result | {"failed": re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").replace("|", "/")[:160]}


def _timed(kernel: Kernel, heads: Heads, seen: Row, args: argparse.Namespace) -> dict[str, Any]:
    device = seen.starts.device
    inference = kernel.forward_only and device.type == "cpu"
    q, k, v, g = tensors(heads, args.length, device, torch.bfloat16)
    if inference:
        q, k, v = q.detach(), k.detach(), v.detach()
    attention = kernel.prepare(seen, heads)
    before = _memory(device, restart=True)

    def forward() -> torch.Tensor:
        return attention(q, k, v, heads.narrow**-0.5)

    forward_s = _time(forward, args, device)
    flops = 2.0 * heads.queries * seen.pairs * (heads.wide + heads.narrow)
    result: dict[str, Any] = {}
    if kernel.measure != "backward":
        result |= {"forward_ms": 1e3 * forward_s, "forward_tflops": flops / forward_s / 1e12}
    if kernel.measure != "forward" and not inference:
        out = forward()

        def backward() -> None:
            torch.autograd.grad(out, (q, k, v), g, retain_graph=True)

        backward_s = _time(backward, args, device)
        result |= {"backward_ms": 1e3 * backward_s, "backward_tflops": 2 * flops / backward_s / 1e12}
    return result | {"peak_bytes": _memory(device) - before}


def _time(call: Callable[[], Any], args: argparse.Namespace, device: torch.device) -> float:
    """Median seconds of a call, the device's queue empty before and after."""
    for _ in range(args.warm):
        call()
    times = []
    for _ in range(args.repeats):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        times.append(time.perf_counter() - start)
    return median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory(device: torch.device, restart: bool = False) -> int:
    """Peak bytes on the GPU since the last restart; 0 on a CPU, where this script does not measure."""
    if device.type != "cuda":
        return 0
    if restart:
        torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.max_memory_allocated(device)


def measure(args: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    meta = describe(args, device)
    path = args.output / f"flex-{meta['hardware']}-{meta['date']}.jsonl"
    kept = path if not args.quick or args.output != running.RESULTS else None
    samples: list[dict[str, Any]] = []
    running.begin(kept, meta, samples)

    small, large = row(args.check, device), row(args.length, device)

    def take(kernel: Kernel, width: str) -> None:
        print(f"{width}: {kernel.title}", end=" … ", flush=True)
        samples.append({"width": width} | sample(kernel, WIDTHS[width], small, large, args))
        print(_said(samples[-1]))
        running.keep(kept, samples[-1])

    for width in args.widths:
        known = list(kernels(args.sweep))
        for kernel in known:
            take(kernel, width)
        best = {which: _best(known, samples, width, which) for which in ("forward", "backward")}
        if best["forward"] and best["backward"]:
            take(together(best["forward"], best["backward"]), width)
    if kept:
        running.write_page(kept.with_suffix(".md"), render(meta, samples), SCRIPT)
        print(f"wrote {kept.with_suffix('.md')}")


def describe(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    name = args.hardware or (re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-") if gpu else None)
    settings = {key: getattr(args, key) for key in ("length", "check", "repeats", "warm", "sweep", "quick")}
    return running.describe(name) | {"gpu": gpu, "threads": torch.get_num_threads()} | settings


def _best(known: list[Kernel], samples: list[dict[str, Any]], width: str, which: str) -> Kernel | None:
    """The fastest of the sweep of one pass; None where none ran."""
    swept = [s for s in samples if s["width"] == width and s["measure"] == which and "failed" not in s]
    if not swept:
        return None
    first = min(swept, key=lambda s: s[f"{which}_ms"])
    return next(kernel for kernel in known if kernel.title == first["kernel"])


def _said(sample: dict[str, Any]) -> str:
    if "failed" in sample:
        return f"failed: {sample['failed']}"
    passes = [f"{which} {sample[f'{which}_ms']:.2f} ms" for which in ("forward", "backward") if f"{which}_ms" in sample]
    return ", ".join(passes)


def render(meta: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    lines = running.heading("Attention kernels", meta)
    for width, heads in WIDTHS.items():
        rows = [s for s in samples if s["width"] == width]
        if not rows:
            continue
        lines += [
            f"## QK {heads.wide}, V {heads.narrow} wide, {heads.queries} / {heads.keys} heads",
            "",
            "| | forward ms | TFLOP/s | backward ms | TFLOP/s | both ms | memory | error |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        whole = [s for s in rows if s["measure"] == "both"]
        swept = sorted((s for s in rows if s not in whole), key=lambda s: (s["measure"], _ms(s)))
        lines += [_row(s) for s in whole] + [_row(s) for s in swept] + [""]
    pairs = next((s["pairs"] for s in samples if "pairs" in s), 0)
    settings = {key: meta[key] for key in ("length", "check", "repeats", "warm")}
    return "\n".join([*lines, METHOD.format(pairs=pairs, tolerance=TOLERANCE, **settings)])


def _ms(sample: dict[str, Any]) -> float:
    return sample.get(f"{sample['measure']}_ms", float("inf"))


def _row(sample: dict[str, Any]) -> str:
    if "failed" in sample:
        return f"| {sample['kernel']} | failed: {sample['failed']} {'|' * 7}"

    def cell(key: str, digits: int) -> str:
        return f"{sample[key]:,.{digits}f}" if key in sample else ""

    both = sample["forward_ms"] + sample["backward_ms"] if {"forward_ms", "backward_ms"} <= set(sample) else None
    worst = max(sample["errors"].values()) if sample["errors"] else None
    wrong = worst is not None and sample["exact"] and worst > TOLERANCE
    cells = [
        sample["kernel"],
        cell("forward_ms", 2),
        cell("forward_tflops", 0),
        cell("backward_ms", 2),
        cell("backward_tflops", 0),
        "" if both is None else f"{both:,.2f}",
        f"{sample['peak_bytes'] / 1e6:,.0f} MB",
        "" if worst is None else f"{worst:.1e}" + (" **wrong**" if wrong else ""),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    args = arguments()
    if args.render:
        running.write_page(args.render.with_suffix(".md"), render(*running.read(args.render)), SCRIPT)
    else:
        measure(args)


if __name__ == "__main__":
    main()

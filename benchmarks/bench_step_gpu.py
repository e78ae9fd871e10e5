"""Whole training steps on one GPU at two sizes, packed: what compiling, fewer logits and checkpointing each bring.

    python benchmarks/bench_step_gpu.py                          # 0.2b and 2b, 16K tokens a step (about 15 minutes)
    python benchmarks/bench_step_gpu.py --models 2b --candidates supervised selective full --length 32768
    python benchmarks/bench_step_gpu.py --render benchmarks/results/step-….jsonl        # the page again
    python benchmarks/bench_step_gpu.py --quick --candidates eager                       # tiny; runs on a CPU

Every sample is a process of its own, and trains with the engine that `pixelword train` uses. Samples go to
`<output>/step-<hardware>-<date>.jsonl` one by one, the page beside it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from typing import Any

import running
from cases import STEP_MODELS, STEPS

SCRIPT = "bench_step_gpu.py"
AIMS = {"0.2b": 0.30, "2b": 0.40}  # MFU

METHOD = """\
## How

- One pack of {length:,} tokens a step, in one row: documents of at most a quarter of it, as they come
  (`benchmarks/train_candidates.py`). Float32 master weights, bf16 arithmetic, flex attention, fused AdamW, clipping;
  everything is trained; random weights. Each line adds to the one above, but for full checkpointing, which replaces
  selective.
- **Step** is the median of {steps} after {warm} to warm up, from the packs on the CPU to the updated weights. Tokens
  and pictures a second are those of the documents, without padding.
- **MFU**: FLOPs that the documents need (`pixelword.training.cost.flops`: attention over visible pairs alone, nothing
  that checkpointing computes twice, the head on supervised tokens only) over time and the GPU's peak in bf16.
- **First** is the first step, compiling included. **Memory** is PyTorch's peak, allocated.
"""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, known in (("--models", list(STEP_MODELS)), ("--candidates", list(STEPS))):
        parser.add_argument(option, nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--length", type=int, default=16384, help="tokens of a pack")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm", type=int, default=4)
    parser.add_argument("--timeout", type=float, default=900, help="seconds that one sample may take")
    running.add_options(parser, gpu=True)
    parser.add_argument("--child", nargs=2, metavar=("MODEL", "CANDIDATE"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.quick:
        args.length, args.steps, args.warm = 512, 2, 1
    elif not args.render and not args.child and gpu() is None:
        parser.error("no NVIDIA GPU here: nothing to measure. --quick tries the paths on a CPU")
    return args


def gpu() -> str | None:
    """The first GPU's name, as its driver says; None where there is none."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.splitlines()[0] if found else None


def child(args: argparse.Namespace) -> None:
    from step import config_of, sample, tiny

    model, candidate = args.child
    config = tiny() if args.quick else config_of(model, "flex_attention")
    device = "cpu" if args.quick else "cuda"
    running.answer(sample(candidate, config, args.length, args.steps, args.warm, device))


def measure(args: argparse.Namespace) -> None:
    name = None if args.quick else gpu()
    settings = {key: getattr(args, key) for key in ("length", "steps", "warm", "quick")}
    hardware = args.hardware or (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") if name else None)
    meta = running.describe(hardware) | {"gpu": name, "threads": running.cores()} | settings
    path = args.output / f"step-{meta['hardware']}-{meta['date']}.jsonl"
    kept = path if not args.quick or args.output != running.RESULTS else None
    samples: list[dict[str, Any]] = []
    running.begin(kept, meta, samples)
    numbers = ["--length", str(args.length), "--steps", str(args.steps), "--warm", str(args.warm)]
    for model in args.models:
        for candidate in args.candidates:
            print(f"{model}, {candidate}", end=" … ", flush=True)
            options = ["--child", model, candidate, *numbers, *(["--quick"] if args.quick else [])]
            result = running.in_child(SCRIPT, options, running.cores(), args.timeout)
            samples.append({"model": model, "candidate": candidate} | result)
            print(result.get("failed") or f"{result['step_s']:.3f} s, MFU {100 * result['mfu']:.1f} %")
            running.keep(kept, samples[-1])
    if kept:
        running.write_page(kept.with_suffix(".md"), render(meta, samples), SCRIPT)
        print(f"wrote {kept.with_suffix('.md')}")


def render(meta: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    lines = running.heading("Training steps", meta)
    for model in STEP_MODELS:
        rows = {s["candidate"]: s for s in samples if s["model"] == model}
        good = [s for s in rows.values() if "failed" not in s]
        if not rows:
            continue
        size = f", {good[0]['parameters'] / 1e9:.2f} B parameters" if good else ""
        lines += [
            f"## {model}{size}",
            "",
            "| | step | tokens/s | pictures/s | MFU | memory | first |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [_row(title, rows[name]) for name, title in STEPS.items() if name in rows]
        if good:
            best = max(s["mfu"] for s in good)
            verdict = "met" if best >= AIMS[model] else "**not met**"
            lines += ["", f"Aim: {100 * AIMS[model]:.0f} % MFU; best {100 * best:.1f} %: {verdict}."]
        lines.append("")
    return "\n".join([*lines, METHOD.format(**{key: meta[key] for key in ("length", "steps", "warm")})])


def _row(title: str, sample: dict[str, Any]) -> str:
    if "failed" in sample:
        return f"| {title} | failed: {sample['failed']} {'|' * 6}"
    cells = [
        title,
        f"{1e3 * sample['step_s']:,.0f} ms",
        f"{sample['tokens_s']:,.0f}",
        f"{sample['pictures_s']:,.1f}",
        f"{100 * sample['mfu']:.1f} %",
        f"{sample['peak_gb']:,.1f} GB",
        f"{sample['first_s']:,.0f} s",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    args = arguments()
    if args.child:
        child(args)
    elif args.render:
        running.write_page(args.render.with_suffix(".md"), render(*running.read(args.render)), SCRIPT)
    else:
        measure(args)


if __name__ == "__main__":
    main()

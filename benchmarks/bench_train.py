"""Training on a CPU: packed documents against padded ones, one at a time, and upstream's dense mask, in one run.

    python benchmarks/bench_train.py                        # all layouts, 3 rounds (about an hour, idle, 2 cores)
    python benchmarks/bench_train.py --layouts packed padded --rounds 1 --threads 1
    python benchmarks/bench_train.py --render benchmarks/results/train-….jsonl      # the page again

A sample is one layout's forward and backward passes over the same documents, in a process of its own. Samples go to
`<output>/train-<hardware>-<date>.jsonl` one by one, the page beside it. `--quick` tries the paths in miniature.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from statistics import median
from typing import Any

import running
from cases import LAYOUTS, LONGEST, TRAINED, TRAINED_QUICK

SCRIPT = "bench_train.py"

METHOD = """\
## How

- A sample: forward and backward of all {documents} documents, the same ones for every layout, as one step whose
  gradients add up; the optimizer is left out (equal for all). Float32 weights, {dtype} arithmetic, nothing
  compiled, nothing recomputed. {passes} passes, of which the fastest counts; pictures are prepared tensors.
- **Tokens/s** counts the documents' tokens, never padding. **×** is how many times as long a layout takes as packed
  Pixelword, median (lowest–highest) over rounds, by the clock and by the process's own processor seconds: the latter is
  what to trust where others use the machine too. Each sample has a process of its own; layouts alternate, each round
  begins with another one.
- **Computed** is the positions that go through the network, padding included, for each of the documents' tokens.
  **Largest** is the largest tensor that the pass over the longest micro-batch makes, in elements: L × L is {square:,}
  for a pack of {longest:,}. **Added** is the peak resident memory less what was resident with model and data ready.
- **Others**: how many cores other processes kept busy meanwhile, median and highest.
- *Our attention* skips most of what padding costs there, other trainers' does not. *Dense* runs Pixelword's modules
  with the released code's attention (repeated keys, an L × L float32 mask over the whole row, float32 softmax over
  every pair); the rest stays ours, so it is faster than that code.
- Mix: 25 % text, 35 % a picture with a short answer, 25 % a picture with a long answer, 10 % two to four pictures,
  5 % clips; {tokens:,} tokens, {shortest:,} to {longest_document:,} a document (`benchmarks/train_candidates.py`).
- Shape: {shape}.
"""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = list(LAYOUTS)
    parser.add_argument("--layouts", nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument(
        "--passes", type=int, default=2, help="passes over the documents after a warm-up; the best counts"
    )
    parser.add_argument(
        "--threads", type=int, default=running.cores(), help="by default all cores; 1 beside other work"
    )
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that one sample may take")
    running.add_options(parser)
    parser.add_argument("--child", metavar="LAYOUT", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if min(args.rounds, args.documents, args.passes, args.threads) < 1:
        parser.error("--rounds, --documents, --passes and --threads must be at least 1")
    return args


def sample(layout: str, count: int, passes: int, *, quick: bool) -> dict[str, Any]:
    """Train the documents in one layout; what stands in the table, from this process alone."""
    import torch
    from measure import Largest, competing, peak, resident, restart_peak, ticks
    from train_candidates import LAYOUTS as LAID_OUT
    from train_candidates import build, cost, documents, train

    from pixelword import machine

    shape, longest = (TRAINED_QUICK, LONGEST // 16) if quick else (TRAINED, LONGEST)
    drawn = documents(count, shape, longest)
    counted = cost(drawn)
    model, batches = build(layout, shape), LAID_OUT[layout][1](drawn, longest)
    normalizer, dtype = float(counted["supervised"]), machine.training_dtype(machine.CPU)
    heaviest = max(batches, key=lambda batch: batch["input_ids"].numel())
    baseline = resident()
    restart_peak()
    with Largest() as watch:  # the warm-up, too
        train(model, [heaviest], normalizer, dtype)
    walls, used, others = [], [], []
    for _ in range(passes):
        model.zero_grad(set_to_none=True)
        before, start, processor = ticks(), time.perf_counter(), time.process_time()
        loss = train(model, batches, normalizer, dtype)
        walls.append(time.perf_counter() - start)
        used.append(time.process_time() - processor)
        others.append(competing(before, ticks()))
    return counted | {
        "loss": loss,
        "wall_s": min(walls),
        "processor_s": min(used),
        "computed": sum(batch["input_ids"].numel() for batch in batches),
        "micro_batches": len(batches),
        "longest": longest,
        "lengths": [min(map(len, drawn)), max(map(len, drawn))],
        "largest": watch.elements,
        "peak_over_model_bytes": max(peak() - baseline, 0),
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "competing_cores": others[walls.index(min(walls))],
    }


def describe(args: argparse.Namespace) -> dict[str, Any]:
    shape = asdict(TRAINED_QUICK if args.quick else TRAINED)
    del shape["vision_depth"]  # of encoders; there is none here
    return running.describe(args.hardware) | {
        "threads": args.threads,
        "quick": args.quick,
        "passes": args.passes,
        "documents": args.documents,
        "shape": ", ".join(f"{key} {value}" for key, value in shape.items()),
    }


def render(meta: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    lines = running.heading("Training", meta)
    lines += [
        "| | tokens/s | × clock | × processor | computed | largest | added | others | rounds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    good = [s for s in samples if "failed" not in s]
    for name, title in LAYOUTS.items():
        rows = [s for s in good if s["layout"] == name]
        for reason in sorted({s["failed"] for s in samples if s["layout"] == name and "failed" in s}):
            lines.append(f"| {title} | failed: {reason} {'|' * 8}")
        if rows:
            lines.append(_row(title, rows, good))
    if not good:
        return "\n".join(lines)
    if found := ratios("padded", "processor_s", good):
        verdict = "met" if median(found) >= 2 else "**not met**"
        lines += [
            "",
            f"Aim: packed at least 2 × as fast as padded: {median(found):.2f} by processor seconds, {verdict}.",
        ]
    first = good[0]
    method = METHOD.format(
        documents=meta["documents"],
        passes=meta["passes"],
        square=first["longest"] ** 2,
        longest=first["longest"],
        tokens=first["tokens"],
        shortest=first["lengths"][0],
        longest_document=first["lengths"][1],
        shape=meta["shape"],
        dtype=meta.get("cpu_dtype", "bfloat16"),
    )
    return "\n".join([*lines, "", method])


def _row(title: str, rows: list[dict[str, Any]], samples: list[dict[str, Any]]) -> str:
    def middle(key: str) -> float:
        return median(s[key] for s in rows)

    others = [s["competing_cores"] for s in rows if s["competing_cores"] is not None]
    cells = [
        title,
        f"{median(s['tokens'] / s['wall_s'] for s in rows):,.0f}",
        _times(ratios(rows[0]["layout"], "wall_s", samples)),
        _times(ratios(rows[0]["layout"], "processor_s", samples)),
        f"{middle('computed') / middle('tokens'):.2f}",
        f"{middle('largest') / 1e6:,.1f} M",
        f"{middle('peak_over_model_bytes') / 1e6:,.0f} MB",
        f"{median(others):.1f}, {max(others):.1f}" if others else "unknown",
        str(len(rows)),
    ]
    return "| " + " | ".join(cells) + " |"


def ratios(layout: str, measure: str, samples: list[dict[str, Any]]) -> list[float]:
    """Within each round: how many times the packed layout's figure."""
    packed = {s["round"]: s[measure] for s in samples if s["layout"] == "packed"}
    return [s[measure] / packed[s["round"]] for s in samples if s["layout"] == layout and s["round"] in packed]


def _times(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else ""
    return f"{median(values):.2f}{spread}"


def _told(sample: dict[str, Any]) -> str:
    return f"{sample['wall_s']:.1f} s, {sample['tokens'] / sample['wall_s']:.0f} tokens/s"


def measure(args: argparse.Namespace) -> None:
    meta = describe(args)
    path = args.output / f"train-{meta['hardware']}-{meta['date']}.jsonl"
    kept = path if not args.quick or args.output != running.RESULTS else None
    options = ["--documents", str(args.documents), "--passes", str(args.passes), "--threads", str(args.threads)]
    options += ["--quick"] if args.quick else []
    jobs = (
        ({"round": turn, "layout": layout}, ["--child", layout, *options])
        for turn in range(args.rounds)
        for layout in running.turned(args.layouts, turn)
    )
    samples = running.collect(SCRIPT, jobs, _told, args, meta, kept)
    if kept:
        running.write_page(kept.with_suffix(".md"), render(meta, samples), SCRIPT)
        print(f"wrote {kept.with_suffix('.md')}")
    if any("failed" in s for s in samples if s["layout"] == "packed"):
        raise SystemExit("Pixelword itself failed: see above")


def main() -> None:
    args = arguments()
    if args.child:
        import torch

        torch.set_num_threads(args.threads)
        running.answer(sample(args.child, args.documents, args.passes, quick=args.quick))
    elif args.render:
        meta, samples = running.read(args.render)
        running.write_page(args.render.with_suffix(".md"), render(meta, samples), SCRIPT)
    else:
        measure(args)


if __name__ == "__main__":
    main()

"""Time to first token, decode speed and peak memory of Pixelword and its peers, on one machine, in one run.

    python benchmarks/bench_inference.py                              # everything, 3 rounds (long; an idle machine)
    python benchmarks/bench_inference.py --cases picture-1024 --candidates ours qwen3vl --rounds 1
    python benchmarks/bench_inference.py --render benchmarks/results/inference-….jsonl   # the page again

Samples go to `<output>/inference-<hardware>-<date>.jsonl` one by one, the page beside it. A run that was stopped goes
on with `--resume FILE`. `--quick` runs miniatures: it tries the paths and says nothing about speed.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import running
from cases import CANDIDATES, CASES, FULL, QUICK, QUICK_CASES, impossible
from report import render


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, known in (("--candidates", list(CANDIDATES)), ("--cases", list(CASES))):
        parser.add_argument(option, nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new-tokens", type=int, default=32, help="tokens to decode after the first")
    parser.add_argument(
        "--threads", type=int, default=running.cores(), help="by default all cores that this process may use"
    )
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that one sample may take")
    running.add_options(parser)
    parser.add_argument("--resume", type=Path, metavar="JSONL", help="measure what these samples miss, and add it")
    parser.add_argument("--child", nargs=2, metavar=("CANDIDATE", "CASE"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.new_tokens < 1 or args.threads < 1:
        parser.error("--rounds, --new-tokens and --threads must be at least 1")
    return args


def describe(args: argparse.Namespace) -> dict[str, Any]:
    """What the page must say about this run; the first line of the samples' file."""
    shape = QUICK if args.quick else FULL
    return running.describe(args.hardware) | {
        "threads": args.threads,
        "new_tokens": args.new_tokens,
        "quick": args.quick,
        "shape": ", ".join(f"{key} {value}" for key, value in asdict(shape).items()),
    }


def run_child(args: argparse.Namespace, candidate: str, case: str) -> dict[str, Any]:
    options = ["--child", candidate, case, "--new-tokens", str(args.new_tokens), "--threads", str(args.threads)]
    quick = ["--quick"] if args.quick else []
    return running.in_child("bench_inference.py", [*options, *quick], args.threads, args.timeout)


def child(args: argparse.Namespace) -> None:
    import torch
    from measure import sample

    torch.set_num_threads(args.threads)
    running.answer(sample(*args.child, quick=args.quick, new_tokens=args.new_tokens))


def jobs(args: argparse.Namespace) -> list[tuple[int, str, str]]:
    """(round, case, candidate): candidates next to each other, each round begins with another one."""
    cases = QUICK_CASES if args.quick else CASES
    order = []
    for number, case in itertools.product(range(args.rounds), args.cases):
        for candidate in running.turned(args.candidates, number):
            if impossible(candidate, cases[case]) is None:
                order.append((number, case, candidate))
    return order


def page(path: Path, meta: dict[str, Any], samples: list[dict[str, Any]]) -> None:
    measured = {s["case"] for s in samples}
    cases = QUICK_CASES if meta["quick"] else CASES
    running.write_page(
        path, render(meta, samples, [case for name, case in cases.items() if name in measured]), "bench_inference.py"
    )


def main() -> None:
    args = arguments()
    if args.child:
        return child(args)
    if args.render:
        page(args.render.with_suffix(".md"), *running.read(args.render))
        return
    if args.resume:
        path = args.resume
        meta, samples = running.read(path)
        samples = [s for s in samples if "failed" not in s]
        args.quick, args.new_tokens, args.threads = meta["quick"], meta["new_tokens"], meta["threads"]
    else:
        meta, samples = describe(args), []
        path = args.output / f"inference-{meta['hardware']}-{meta['date']}.jsonl"
    keep = not args.quick or args.output != running.RESULTS
    measure(args, meta, samples, path if keep else None)
    if keep:
        page(path.with_suffix(".md"), meta, samples)
        print(f"wrote {path.with_suffix('.md')}")
    if any("failed" in s for s in samples if s["candidate"] == "ours"):
        raise SystemExit("Pixelword itself failed: see above")


def measure(args: argparse.Namespace, meta: dict[str, Any], samples: list[dict[str, Any]], path: Path | None) -> None:
    """Add what is missing to `samples`, and each to the file at `path` as soon as it is known."""
    running.begin(path, meta, samples)
    known = {(s["round"], s["case"], s["candidate"]) for s in samples}
    order = [job for job in jobs(args) if job not in known]
    for number, (turn, case, candidate) in enumerate(order, 1):
        print(f"[{number}/{len(order)}] round {turn + 1}, {case}, {candidate}", end=" … ", flush=True)
        result = {"round": turn, "case": case, "candidate": candidate} | run_child(args, candidate, case)
        samples.append(result)
        print(result.get("failed") or f"{result['first_token_s']:.2f} s, {result['decode_tokens_s']:.1f} tokens/s")
        running.keep(path, result)


if __name__ == "__main__":
    main()

"""Time to first token, decode speed and peak memory of Pixelword and its peers, on one machine, in one run.

    python benchmarks/bench_inference.py                              # everything, 3 rounds (long; an idle machine)
    python benchmarks/bench_inference.py --cases picture-1024 --candidates ours qwen3vl --rounds 1
    python benchmarks/bench_inference.py --render benchmarks/results/inference-….jsonl   # the page again

Samples go to `<output>/inference-<hardware>-<date>.jsonl` one by one, the page beside it. A run that was stopped goes
on with `--resume FILE`. `--quick` runs miniatures: it tries the paths and says nothing about speed.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cases import CANDIDATES, CASES, FULL, QUICK, QUICK_CASES, impossible
from report import render, write

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
#: Marks the one line of a child's output that is its sample.
MARK = "SAMPLE "


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, known in (("--candidates", list(CANDIDATES)), ("--cases", list(CASES))):
        parser.add_argument(option, nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new-tokens", type=int, default=32, help="tokens to decode after the first")
    parser.add_argument("--threads", type=int, default=cores(), help="by default all cores that this process may use")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that one sample may take")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the samples and the page")
    parser.add_argument("--hardware", default=None, help="name in the file's name; by default from the processor")
    parser.add_argument("--quick", action="store_true", help="miniatures; write nothing unless --output is given")
    parser.add_argument("--resume", type=Path, metavar="JSONL", help="measure what these samples miss, and add it")
    parser.add_argument("--render", type=Path, metavar="JSONL", help="measure nothing; make the page of these samples")
    parser.add_argument("--child", nargs=2, metavar=("CANDIDATE", "CASE"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.new_tokens < 1 or args.threads < 1:
        parser.error("--rounds, --new-tokens and --threads must be at least 1")
    return args


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def describe(args: argparse.Namespace) -> dict[str, Any]:
    """What the page must say about this run; the first line of the samples' file."""
    shape = QUICK if args.quick else FULL
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError):  # not every system tells
        memory = float("nan")
    cpu = cpu_name()
    slug = re.sub(r"[^a-z0-9]+", "-", f"{cpu} {os.cpu_count()} cores".lower()).strip("-")
    return {
        "hardware": args.hardware or slug,
        "command": shlex.join(["python", "benchmarks/bench_inference.py", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(memory),
        "threads": args.threads,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "pixelword")},
        "new_tokens": args.new_tokens,
        "quick": args.quick,
        "shape": ", ".join(f"{key} {value}" for key, value in asdict(shape).items()),
    }


def run_child(args: argparse.Namespace, candidate: str, case: str) -> dict[str, Any]:
    """One sample in a fresh process; `{"failed": why}` where it did not end well."""
    options = ["--child", candidate, case, "--new-tokens", str(args.new_tokens), "--threads", str(args.threads)]
    command = [sys.executable, str(HERE / "bench_inference.py"), *options, *(["--quick"] if args.quick else [])]
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout, env=environment)
    except subprocess.TimeoutExpired:
        return {"failed": f"longer than {args.timeout:g} s"}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line[len(MARK) :])
    if done.returncode < 0:
        return {"failed": f"ended by signal {-done.returncode} (9: out of memory, most likely)"}
    print(done.stderr, file=sys.stderr)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return {"failed": last.replace("|", "/")[:200]}


def child(args: argparse.Namespace) -> None:
    import torch
    from measure import sample

    torch.set_num_threads(args.threads)
    result = sample(*args.child, quick=args.quick, new_tokens=args.new_tokens)
    print(MARK + json.dumps(result))


def jobs(args: argparse.Namespace) -> list[tuple[int, str, str]]:
    """(round, case, candidate): candidates next to each other, each round begins with another one."""
    cases = QUICK_CASES if args.quick else CASES
    order = []
    for number, case in itertools.product(range(args.rounds), args.cases):
        turn = number % len(args.candidates)
        for candidate in args.candidates[turn:] + args.candidates[:turn]:
            if impossible(candidate, cases[case]) is None:
                order.append((number, case, candidate))
    return order


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    if not lines or "command" not in lines[0]:
        raise SystemExit(f"{path} is not a samples' file: its first line does not describe a run")
    return lines[0], lines[1:]


def page(path: Path, meta: dict[str, Any], samples: list[dict[str, Any]]) -> None:
    measured = {s["case"] for s in samples}
    cases = QUICK_CASES if meta["quick"] else CASES
    write(path, render(meta, samples, [case for name, case in cases.items() if name in measured]))


def main() -> None:
    args = arguments()
    if args.child:
        return child(args)
    if args.render:
        page(args.render.with_suffix(".md"), *read(args.render))
        return
    if args.resume:
        path = args.resume
        meta, samples = read(path)
        samples = [s for s in samples if "failed" not in s]
        args.quick, args.new_tokens, args.threads = meta["quick"], meta["new_tokens"], meta["threads"]
    else:
        meta, samples = describe(args), []
        path = args.output / f"inference-{meta['hardware']}-{meta['date']}.jsonl"
    keep = not args.quick or args.output != RESULTS
    measure(args, meta, samples, path if keep else None)
    if keep:
        page(path.with_suffix(".md"), meta, samples)
        print(f"wrote {path.with_suffix('.md')}")
    if any("failed" in s for s in samples if s["candidate"] == "ours"):
        raise SystemExit("Pixelword itself failed: see above")


def measure(args: argparse.Namespace, meta: dict[str, Any], samples: list[dict[str, Any]], path: Path | None) -> None:
    """Add what is missing to `samples`, and each to the file at `path` as soon as it is known."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in (meta, *samples)))
    known = {(s["round"], s["case"], s["candidate"]) for s in samples}
    order = [job for job in jobs(args) if job not in known]
    for number, (turn, case, candidate) in enumerate(order, 1):
        print(f"[{number}/{len(order)}] round {turn + 1}, {case}, {candidate}", end=" … ", flush=True)
        result = {"round": turn, "case": case, "candidate": candidate} | run_child(args, candidate, case)
        samples.append(result)
        print(result.get("failed") or f"{result['first_token_s']:.2f} s, {result['decode_tokens_s']:.1f} tokens/s")
        if path:
            with path.open("a") as out:
                out.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

"""Serving one model's weights: our server, plain transformers and vLLM, each with the same pictures and questions.

    python benchmarks/bench_serving.py --model checkpoints/mini                       # half an hour; an idle machine
    python benchmarks/bench_serving.py --model checkpoints/mini --vllm-python .venv-vllm/bin/python
    python benchmarks/bench_serving.py --render benchmarks/results/serving-….jsonl

The model is a checkpoint's folder with a tokenizer (random weights would answer with text that no client can count).
Servers run one after another, each for a whole round. `--quick` tries the paths with small pictures and few tokens.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import running
from serving_systems import LOADS, SYSTEMS, Work, measured


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="nano", help="a checkpoint's folder (for vLLM a whole one), or a packaged model"
    )
    known = list(SYSTEMS)
    parser.add_argument("--systems", nargs="+", choices=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--vllm-python", type=Path, help="interpreter of an environment with vLLM and this package")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=768, help="pixels along each side of a picture")
    parser.add_argument("--new-tokens", type=int, default=48, help="of each answer whose speed is measured")
    parser.add_argument("--threads", type=int, default=running.cores())
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that one system may take for a round")
    running.add_options(parser)
    parser.add_argument("--child", metavar="SYSTEM", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.quick:
        args.rounds, args.side, args.new_tokens = 1, 128, 6
    default = [name for name in SYSTEMS if name != "vllm" or args.vllm_python]
    args.systems = args.systems or default
    if "vllm" in args.systems and not args.vllm_python:
        parser.error("vllm needs --vllm-python: the interpreter of an environment with vLLM (make test-vllm makes one)")
    return args


def child(args: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(args.threads)
    work = Work(args.model, args.side, args.new_tokens, (1, 2) if args.quick else LOADS, 1 if args.quick else 4)
    with tempfile.TemporaryDirectory() as folder:
        running.answer(measured(args.child, work, Path(folder), args.threads, args.vllm_python))


METHOD = """\
## How

- Every system answers the same requests with the same weights in {cpu_dtype}: noise pictures of {side} × {side} pixels
  (each new to the server when it is *cold*), questions of a few words, greedy answers of exactly {new_tokens} tokens.
- **First token**: from sending the request, picture and all, to the first piece of the answer. *Cold*: a picture never
  seen; *again*: another question about it. Medians of {repeats}.
- **Between tokens**: one client, from the first to the last token of an answer, over tokens less one.
- **Tokens/s**: answers' tokens of all clients over the time from the first request to the last answer; each client asks
  about its own picture, which was read before.
- **Memory**: resident bytes of the process that holds the network, at the end.
- Guessing tokens ahead is off for ours here (`--num-speculative-tokens 0`): what a noise picture is answered with
  repeats itself, and would flatter it.
- *transformers* is `generate` on the same class with its own weights and cache, in a loop, without a server; several
  clients are one padded batch, which a server without a running batch cannot have. It reads pictures anew every time.
- **Others**: cores that other processes kept busy in the second before a system started, highest of the rounds. Above
  about 0.1, trust nothing but ratios.
"""


def render(meta: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    good = [s for s in samples if "failed" not in s]
    loads = list(good[0]["tokens_s"]) if good else []
    titles = [f"{n} client{'s' * (n != '1')}" for n in loads]
    heads = ["first token, cold", "again", "between tokens", *titles, "memory", "others", "rounds"]
    lines = [*running.heading("Serving", meta), "| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for name, title in SYSTEMS.items():
        rows = [s for s in good if s["system"] == name]
        if rows:

            def middle(key: str, rows: list[dict[str, Any]] = rows) -> float:
                return median(s[key] for s in rows)

            cells = [f"{middle('cold_s'):.2f} s", f"{middle('again_s'):.2f} s", f"{1000 * middle('between_s'):.1f} ms"]
            cells += [f"{median(s['tokens_s'][n] for s in rows):.1f}/s" for n in loads]
            others = [s["competing_cores"] for s in rows if s["competing_cores"] is not None]
            cells += [f"{middle('bytes') / 1e6:,.0f} MB", f"{max(others):.1f}" if others else "unknown", str(len(rows))]
            lines.append(f"| {title} | {' | '.join(cells)} |")
        failed = [s["failed"] for s in samples if s["system"] == name and "failed" in s]
        lines += [f"| {title} | failed: {why} |" for why in failed]
    return "\n".join([*lines, "", *_aims(good), METHOD.format(**{"cpu_dtype": "bfloat16", **meta})])


def _aims(good: list[dict[str, Any]]) -> list[str]:
    ours = [s for s in good if s["system"] == "ours"]
    if not ours:
        return []
    most = max(ours[0]["tokens_s"], key=int)
    sooner = median(s["cold_s"] / s["again_s"] for s in ours)
    faster = median(s["tokens_s"][most] / s["tokens_s"]["1"] for s in ours)
    rows = [
        ("a second question on a picture starts sooner", 5, sooner),
        (f"throughput of {most} clients to one's", 6, faster),
    ]
    table = [
        f"| {what} | {aim} | {found:.1f} | {'met' if found >= aim else '**not met**'} |" for what, aim, found in rows
    ]
    return ["## Against the aims", "", "| | aim, times | measured | |", "|---|---:|---:|---|", *table, ""]


def main() -> None:
    args = arguments()
    if args.child:
        return child(args)
    if args.render:
        return running.write_page(
            args.render.with_suffix(".md"), render(*running.read(args.render)), "bench_serving.py"
        )
    about = {
        "threads": args.threads,
        "side": args.side,
        "new_tokens": args.new_tokens,
        "repeats": 1 if args.quick else 4,
    }
    meta = running.describe(args.hardware) | about | {"model": Path(args.model).name}
    keep = not args.quick or args.output != running.RESULTS
    path = args.output / f"serving-{meta['hardware']}-{meta['date']}.jsonl" if keep else None
    passed = ["--model", args.model, "--side", str(args.side), "--new-tokens", str(args.new_tokens)]
    passed += ["--threads", str(args.threads), *(["--quick"] if args.quick else [])]
    passed += ["--vllm-python", os.path.abspath(args.vllm_python)] if args.vllm_python else []
    jobs = (
        ({"round": turn, "system": system}, [*passed, "--child", system])
        for turn in range(args.rounds)
        for system in running.turned(args.systems, turn)
    )
    samples = running.collect("bench_serving.py", jobs, lambda s: s["tokens_s"], args, meta, path)
    if path:
        running.write_page(path.with_suffix(".md"), render(meta, samples), "bench_serving.py")
        print(f"wrote {path.with_suffix('.md')}")
    if any("failed" in s for s in samples if s["system"] == "ours"):
        raise SystemExit("Pixelword itself failed: see above")


if __name__ == "__main__":
    main()

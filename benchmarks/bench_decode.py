"""One step of decoding against what memory allows: the network as it is, packed, int8, int4, compiled; a text peer.

    python benchmarks/bench_decode.py                            # 135M and 1.7B shapes (half an hour; an idle machine)
    python benchmarks/bench_decode.py --shapes 135m --ways plain packed
    python benchmarks/bench_decode.py --render benchmarks/results/decode-….jsonl

A step reads every weight once. "Of the bound" is the time that reading the weights, as they are without packing, and
the keys and values takes at the bandwidth measured in the same process, divided by the step's: above 100 % is only to
be had with fewer bytes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import running
from cases import DECODED, QUICK, WAYS

BATCHES = (1, 4, 16)
READ = 300  # tokens in each row before the steps that are measured


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, known in (("--ways", list(WAYS)), ("--shapes", list(DECODED))):
        parser.add_argument(option, nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=24, help="steps to take the median of")
    parser.add_argument("--threads", type=int, default=running.cores())
    parser.add_argument("--timeout", type=float, default=900, help="seconds that one sample may take")
    running.add_options(parser)
    parser.add_argument("--child", nargs=2, metavar=("SHAPE", "WAY"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def bandwidth(numbers: int = 1 << 27) -> float:
    """Bytes a second that all threads read together: the best of several sums over memory that no cache holds."""
    import torch

    held = torch.ones(numbers)  # summing integers takes far longer than reading them
    return held.nbytes / min(_seconds(held.sum) for _ in range(8))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def sample(shape_name: str, way: str, *, quick: bool, steps: int) -> dict[str, Any]:
    """Medians of a step's seconds for each batch, and what they are to be compared with."""
    import torch
    from candidates import load
    from measure import competing, peak, ticks

    from pixelword.generation.kv_slots import KVSlots
    from pixelword.generation.model_runner import ModelRunner
    from pixelword.generation.request import BatchingOptions

    shape = QUICK if quick else DECODED[shape_name]
    speed, before = bandwidth(1 << 20) if quick else bandwidth(), ticks()
    model = load("text" if way == "text" else "ours", shape)
    body = [p for name, p in model.named_parameters() if "vision" not in name and p.ndim == 2]  # the table is the head
    weights = sum(p.nbytes for p in {id(p): p for p in body}.values())
    found: dict[str, Any] = {"bandwidth": speed, "weight_bytes": weights, "step_s": {}, "kv_bytes": {}}
    with torch.inference_mode():
        if way == "text":
            take = _text_step(model)
        else:
            options = BatchingOptions(
                max_num_seqs=max(BATCHES),
                num_speculative_tokens=0,
                compile="compiled" in way,
                quantization=next((kind for kind in ("int8", "int4") if way.startswith(kind)), None),
                pack=None if way != "plain" else False,  # where it works and pays
            )
            began = time.perf_counter()
            slots = KVSlots(model.config.get_text_config().num_hidden_layers)
            network = ModelRunner(model, slots, options)
            found["ready_s"] = time.perf_counter() - began
            take = _our_step(network)
        for batch in (1, 2) if quick else BATCHES:
            step = take(batch)
            step()
            found["step_s"][str(batch)] = median(_seconds(step) for _ in range(steps))
            widths = shape.head_dim * (2 if way == "text" else 3)
            found["kv_bytes"][str(batch)] = (
                batch * READ * shape.num_key_value_heads * widths * model.dtype.itemsize * shape.num_hidden_layers
            )
    return found | {"peak_bytes": peak(), "competing_cores": competing(before, ticks())}


def _our_step(network: Any) -> Callable[[int], Callable[[], Any]]:
    import torch

    filled = 0

    def take(batch: int) -> Callable[[], Any]:
        nonlocal filled
        text, dtype = network.model.config.get_text_config(), network.model.dtype
        for slot in range(filled, batch):
            part = torch.randn(text.num_key_value_heads, READ, 3 * text.head_dim, dtype=dtype)
            stretch = part.split((2 * text.head_dim, text.head_dim), -1)
            network.slots.put(slot, 0, [stretch] * text.num_hidden_layers)
        filled = max(filled, batch)
        ids, starts = torch.full((batch, 1), 77), torch.full((batch,), READ)
        return lambda: network.decode(ids, starts, starts).argmax(-1)

    return take


def _text_step(model: Any) -> Callable[[int], Callable[[], Any]]:
    import torch
    from transformers import DynamicCache

    def take(batch: int) -> Callable[[], Any]:
        cache = DynamicCache()
        model(input_ids=torch.full((batch, READ), 77), past_key_values=cache, use_cache=True, logits_to_keep=1)
        ids = torch.full((batch, 1), 77)
        return lambda: model(input_ids=ids, past_key_values=cache, use_cache=True).logits.argmax(-1)

    return take


METHOD = """\
## How

- One step gives every row its next token after {read} tokens: embedding, all layers, head, the likeliest token. Random
  weights in {dtype}; medians over {steps} steps, then over rounds. Every way, shape and round is a process of its own.
- **Of the bound**: {dtype} weights, keys and values over the bandwidth that the same process measured just before (the
  best of eight sums over 512 MB), divided by the step's time. int8 and int4 read fewer bytes, so they may pass 100 %.
- **Ready**: seconds to prepare the weights and, where compiled, to compile (afterwards taken from PyTorch's cache).
- *Text peer*: transformers' Qwen3 with a feed-forward wider by what the H and W projections weigh, its own forward and
  dynamic cache: no `generate` around it, which would add a little.
- **Others**: cores that other processes kept busy, median and highest. Above about 0.1, trust nothing but ratios.
"""


def render(meta: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    lines = running.heading("Decoding", meta)
    for shape in {s["shape"]: None for s in samples}:
        here = [s for s in samples if s["shape"] == shape]
        batches = next((list(s["step_s"]) for s in here if "failed" not in s), [])
        titles = [f"{batch} row{'s' * (batch != '1')} | of the bound" for batch in batches]
        lines += [f"## {shape}", "", "| | " + " | ".join(["weights", *titles, "ready", "others"]) + " |"]
        lines.append("|---|" + "---:|" * (2 * len(batches) + 3))
        for way, title in WAYS.items():
            good = [s for s in here if s["way"] == way and "failed" not in s]
            lines += [_row(title, good, batches)] if good else []
            lines += [f"| {title} | failed: {s['failed']} |" for s in here if s["way"] == way and "failed" in s]
        lines.append("")
    return "\n".join([*lines, METHOD.format(read=READ, steps=meta["steps"], dtype=meta.get("cpu_dtype", "bfloat16"))])


def _row(title: str, samples: list[dict[str, Any]], batches: list[str]) -> str:
    cells = [title, f"{samples[0]['weight_bytes'] / 1e6:,.0f} MB"]
    for batch in batches:
        seconds = median(s["step_s"][batch] for s in samples)
        bounds = ((s["weight_bytes"] + s["kv_bytes"][batch]) / s["bandwidth"] for s in samples)
        share = median(bound / s["step_s"][batch] for bound, s in zip(bounds, samples, strict=True))
        cells += [f"{1000 * seconds:.1f} ms, {int(batch) / seconds:.1f}/s", f"{share:.0%}"]
    ready = [s["ready_s"] for s in samples if "ready_s" in s]
    others = [s["competing_cores"] for s in samples if s["competing_cores"] is not None]
    cells.append(f"{median(ready):.1f} s" if ready else "")
    cells.append(f"{median(others):.1f}, {max(others):.1f}" if others else "unknown")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    args = arguments()
    if args.child:
        import torch

        torch.set_num_threads(args.threads)
        running.answer(sample(*args.child, quick=args.quick, steps=args.steps))
        return
    if args.render:
        running.write_page(args.render.with_suffix(".md"), render(*running.read(args.render)), "bench_decode.py")
        return
    meta = running.describe(args.hardware) | {"threads": args.threads, "steps": args.steps, "quick": args.quick}
    keep = not args.quick or args.output != running.RESULTS
    path: Path | None = args.output / f"decode-{meta['hardware']}-{meta['date']}.jsonl" if keep else None
    passed = ["--steps", str(args.steps), "--threads", str(args.threads), *(["--quick"] if args.quick else [])]
    jobs = (
        ({"round": turn, "shape": shape, "way": way}, ["--child", shape, way, *passed])
        for turn in range(args.rounds)
        for shape in args.shapes
        for way in running.turned(args.ways, turn)
    )
    samples = running.collect("bench_decode.py", jobs, lambda s: s["step_s"], args, meta, path)
    if path:
        running.write_page(path.with_suffix(".md"), render(meta, samples), "bench_decode.py")
        print(f"wrote {path.with_suffix('.md')}")
    if any("failed" in s for s in samples if s["way"] != "text"):
        raise SystemExit("Pixelword itself failed: see above")


if __name__ == "__main__":
    main()

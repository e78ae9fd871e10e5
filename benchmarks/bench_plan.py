"""Planning a million samples, and reading pictures from the disk into packs.

    python benchmarks/bench_plan.py                         # both parts, 3 rounds (some minutes, idle, 2 cores)
    python benchmarks/bench_plan.py --parts plan --samples 10000000 --rounds 1
    python benchmarks/bench_plan.py --render benchmarks/results/plan-….jsonl        # the page again

Each sample has a process of its own and goes to `<output>/plan-<hardware>-<date>.jsonl`, the page beside it. `--quick`
tries the paths in miniature.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import running

SCRIPT = "bench_plan.py"
LENGTH, PACKS, RANKS = 16_384, 64, 8
READ_LENGTH, PASSES = 4_096, 4  # of the packs that are read, and how often
#: Width and height of pictures as collections of photographs have them, with their shares.
SIZES = {(640, 480): 0.45, (480, 640): 0.2, (1024, 683): 0.15, (336, 336): 0.1, (1280, 960): 0.07, (2048, 1536): 0.03}

METHOD = """\
## How

- **Plan**: an index of {samples:,} samples in three sources that are mixed 5 : 3 : 2, made up here (a quarter text
  alone, most with a picture, some with two to eight or a clip), rows of {length:,} tokens, {packs} packs a step.
  *Costs*: `Plan(...)`, which finds every sample's tokens, patches and pairs, and shrinks or sets aside what is too
  long. *First pack*: what a start waits for after that. *A pass*: packing everything once. *Added*: peak resident
  memory less that of the process with the index in it. *Fill*: tokens over places. *Balance*: what the busiest of
  {ranks} ranks computes of attention over the mean, for packs in order and as `assign` deals them.
- **Read**: {pictures:,} JPEG pictures of photographs' sizes (smooth noise, quality 90), a question and an answer each,
  in LLaVA's JSON lines; pixel limits of the released models. *Index*: words tokenized, headers read. *Workers*: all of
  it {passes} times through the loader, in packs of {read_length:,} tokens, from the start of the workers to the last
  pack; 0 reads in the training process itself. The disk's cache is warm, so this is what decoding, resizing and cutting
  into patches cost.
- **Others**: how many cores other processes kept busy during the sample, median and highest. Seconds are the clock's;
  in parentheses the process's own processor seconds, without its workers'.
"""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("plan", "read"), default=["plan", "read"])
    parser.add_argument("--samples", type=int, default=1_000_000, help="of the planned index")
    parser.add_argument("--pictures", type=int, default=200, help="JPEG files to read")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=900, help="seconds that one sample may take")
    running.add_options(parser)
    parser.add_argument("--child", metavar="PART", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if min(args.rounds, args.samples, args.pictures, args.threads) < 1:
        parser.error("--rounds, --samples, --pictures and --threads must be at least 1")
    if args.quick:
        args.samples, args.pictures = min(args.samples, 2_000), min(args.pictures, 6)
    return args


def made_up(samples: int, seed: int) -> Any:
    """An index of so many samples, without the samples."""
    import numpy as np

    from pixelword.data.index import PICTURE, VIDEO, Index

    rng = np.random.default_rng(seed)
    media = rng.choice([0, 1, 2, 4, 8], samples, p=[0.25, 0.6, 0.08, 0.05, 0.02])
    clip = (media == 1) & (rng.random(samples) < 0.04)
    offsets = np.concatenate([[0], np.cumsum(media)])
    total = int(offsets[-1])
    sizes = np.array(list(SIZES), np.int32)[rng.choice(len(SIZES), total, p=list(SIZES.values()))][:, ::-1]
    kinds = np.full(total, PICTURE, np.uint8)
    kinds[offsets[:-1][clip]] = VIDEO
    counts = np.where(kinds == VIDEO, rng.integers(4, 64, total), 1).astype(np.int32)
    words = np.clip(rng.lognormal(5, 1, samples), 16, 12_000).astype(np.int32)
    return Index(words + 2 * media.astype(np.int32), np.maximum(words // 2, 1), offsets, sizes, kinds, counts, {})


def measure_plan(samples: int) -> dict[str, Any]:
    """Plan one pass over a made-up index."""
    from measure import peak, resident, restart_peak

    from pixelword.data.packing.plan import Plan, assign
    from pixelword.data.recipe import DataRecipe

    processor = released_processor()
    shares = {"a": 5, "b": 3, "c": 2}
    indexes = {name: made_up(samples * share // 10, share) for name, share in shares.items()}
    sources = {name: {"path": f"{name}.jsonl"} for name in shares}
    data = DataRecipe(sources=sources, mixture=shares, length=LENGTH, packs=PACKS)
    baseline = resident()
    restart_peak()
    clock = Clock()
    plan = Plan(indexes, processor, data, steps=10**6)
    costs = clock.lap()
    plan.pack(0)
    first = clock.lap()
    steps = max(int(plan.steps_per_epoch), 1)
    whole = clock.lap()
    added = max(peak() - baseline, 0)
    tokens = [sum(item.tokens for item in plan.pack(number)) for number in range(min(steps, 20) * PACKS)]
    in_order, dealt = [], []
    for step in range(min(steps, 20)):
        pairs = plan.costs(step)
        each = PACKS // RANKS
        mean = sum(pairs) / RANKS
        in_order.append(max(sum(pairs[rank * each : (rank + 1) * each]) for rank in range(RANKS)) / mean)
        dealt.append(max(sum(pairs[pack] for pack in share) for share in assign(pairs, PACKS, RANKS)) / mean)
    return {
        "costs_s": costs,
        "first_pack_s": first,
        "pass_s": [a + b for a, b in zip(first, whole, strict=True)],
        "added_bytes": added,
        "packs": steps * PACKS,
        "fill": sum(tokens) / len(tokens) / LENGTH,
        "set_aside": sum(1 for _ in plan.set_aside()),
        "in_order": median(in_order),
        "dealt": median(dealt),
    }


def released_processor() -> Any:
    """The embedded tokenizer with the released models' pixel limits."""
    from transformers import AutoTokenizer

    import pixelword
    from pixelword.processing.image_processor import NeoOVImageProcessor
    from pixelword.processing.processor import NeoOVProcessor

    folder = Path(pixelword.__file__).parent / "weights" / "nano"
    return NeoOVProcessor(NeoOVImageProcessor(), AutoTokenizer.from_pretrained(folder, trust_remote_code=False))


class Clock:
    """Seconds since the last lap: by the clock, and of this process's processor."""

    def __init__(self) -> None:
        self.last = time.perf_counter(), time.process_time()

    def lap(self) -> list[float]:
        now = time.perf_counter(), time.process_time()
        passed = [b - a for a, b in zip(self.last, now, strict=True)]
        self.last = now
        return passed


def write_pictures(folder: Path, count: int) -> Path:
    """`count` pictures as JPEG files, a question and an answer each; the JSON lines that name them."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    sizes, shares = list(SIZES), list(SIZES.values())
    path = folder / "train.jsonl"
    with path.open("w") as file:
        for i in range(count):
            width, height = sizes[rng.choice(len(sizes), p=shares)]
            rough = rng.integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
            Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).save(
                folder / f"{i}.jpg", quality=90
            )
            turns = [
                {"from": "human", "value": "<image>\nWhat is to be seen here?"},
                {"from": "gpt", "value": "Noise. " * 20},
            ]
            file.write(json.dumps({"image": f"{i}.jpg", "conversations": turns}) + "\n")
    return path


def measure_read(pictures: int, workers: list[int]) -> dict[str, Any]:
    """Index real files, then read them by so many workers."""
    from pixelword.data.indexing import open_indexes
    from pixelword.data.loader import packs
    from pixelword.data.pack_dataset import FilePacks
    from pixelword.data.packing.plan import Plan
    from pixelword.data.quarantine import Quarantine
    from pixelword.data.recipe import DataRecipe

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = {"path": str(write_pictures(folder, pictures)), "repeat": PASSES}
        data = DataRecipe(sources={"jpeg": source}, length=READ_LENGTH, index=folder / "index")
        processor = released_processor()
        clock = Clock()
        sources, indexes = open_indexes(data, processor)
        sample: dict[str, Any] = {"index_s": clock.lap()}
        plan = Plan(indexes, processor, data)
        files = FilePacks(plan, sources, processor, Quarantine(folder / "quarantine.jsonl"))
        numbers = range(int(plan.steps_per_epoch))
        for count in workers:
            documents = tokens = patches = 0
            clock.lap()
            for pack in packs(files, numbers, workers=count):
                assert not pack.faults, pack.faults
                documents, tokens = documents + len(pack.names), tokens + pack.tokens
                patches += len(pack.pixel_values)
            sample[f"workers_{count}"] = {
                "s": clock.lap(), "samples": documents, "tokens": tokens, "megapixels": patches * 256 / 1e6,
            }  # fmt: skip
    return sample


def render(meta: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    lines = running.heading("Plan and loader", meta)
    good = [sample for sample in samples if "failed" not in sample]
    for item in (sample for sample in samples if "failed" in sample):
        lines += [f"{item['part']}: failed: {item['failed']}", ""]
    planned, read = ([item for item in good if item["part"] == part] for part in ("plan", "read"))
    if planned:
        lines += _plan_table(meta, planned)
    if read:
        lines += _read_table(meta, read)
    told = {"samples": meta["samples"], "pictures": meta["pictures"], "length": LENGTH, "packs": PACKS, "ranks": RANKS}
    told |= {"read_length": READ_LENGTH, "passes": PASSES}
    return "\n".join([*lines, METHOD.format(**told)])


def _plan_table(meta: dict[str, Any], samples: list[dict[str, Any]]) -> list[str]:
    first = samples[0]
    added = median(sample["added_bytes"] for sample in samples)
    whole = median(sample["costs_s"][0] + sample["pass_s"][0] for sample in samples)
    met = "met" if whole < 60 and added < 1e9 else "**not met**"
    return [
        f"## Planning {meta['samples']:,} samples ({first['packs']:,} packs, {first['set_aside']:,} set aside)",
        "",
        "| costs | first pack | a pass | added | fill | balance in order | balance dealt | others | rounds |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        f"| {_seconds(samples, 'costs_s')} | {_seconds(samples, 'first_pack_s')} | {_seconds(samples, 'pass_s')} | "
        f"{added / 1e6:,.0f} MB | {first['fill']:.2%} | {first['in_order']:.3f} | {first['dealt']:.3f} | "
        f"{_others(samples)} | {len(samples)} |",
        "",
        f"Aim: a million samples in seconds and under 1 GB: {whole:.1f} s and {added / 1e6:,.0f} MB for "
        f"{meta['samples']:,}, {met}.",
        "",
    ]


def _read_table(meta: dict[str, Any], samples: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"## Reading {meta['pictures']:,} JPEG pictures",
        "",
        "| | samples/s | tokens/s | megapixels/s | processor s | others | rounds |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    index = median(meta["pictures"] / sample["index_s"][0] for sample in samples)
    lines.append(f"| index | {index:,.0f} | | | {_seconds(samples, 'index_s')} | {_others(samples)} | {len(samples)} |")
    for key in (key for key in samples[0] if key.startswith("workers_")):
        rates = [
            f"{median(sample[key][what] / sample[key]['s'][0] for sample in samples):,.0f}"
            for what in ("samples", "tokens", "megapixels")
        ]
        used = median(sample[key]["s"][1] for sample in samples)
        name = f"{key.removeprefix('workers_')} workers"
        lines.append(f"| {name} | {' | '.join(rates)} | {used:.1f} | {_others(samples)} | {len(samples)} |")
    return [*lines, ""]


def _seconds(samples: list[dict[str, Any]], key: str) -> str:
    wall, used = (median(sample[key][i] for sample in samples) for i in (0, 1))
    return f"{wall:.2f} s ({used:.2f})"


def _others(samples: list[dict[str, Any]]) -> str:
    others = [sample["competing_cores"] for sample in samples if sample["competing_cores"] is not None]
    return f"{median(others):.1f}, {max(others):.1f}" if others else "unknown"


def main() -> None:
    args = arguments()
    if args.child:
        from measure import competing, ticks

        before = ticks()
        sample = measure_plan(args.samples) if args.child == "plan" else measure_read(args.pictures, args.workers)
        running.answer(sample | {"competing_cores": competing(before, ticks())})
        return
    if args.render:
        meta, samples = running.read(args.render)
        running.write_page(args.render.with_suffix(".md"), render(meta, samples), SCRIPT)
        return
    meta = running.describe(args.hardware) | {name: getattr(args, name) for name in ("threads", "samples", "pictures")}
    path = args.output / f"plan-{meta['hardware']}-{meta['date']}.jsonl"
    kept = path if not args.quick or args.output != running.RESULTS else None
    samples: list[dict[str, Any]] = []
    running.begin(kept, meta, samples)
    options = ["--samples", str(args.samples), "--pictures", str(args.pictures), "--workers", *map(str, args.workers)]
    for number in range(args.rounds):
        for part in args.parts:
            told = ["--child", part, *options]
            sample = {"round": number, "part": part, **running.in_child(SCRIPT, told, args.threads, args.timeout)}
            samples.append(sample)
            running.keep(kept, sample)
            print(json.dumps(sample), flush=True)
    page = render(meta, samples)
    if kept:
        running.write_page(kept.with_suffix(".md"), page, SCRIPT)
    else:
        print(page)


if __name__ == "__main__":
    main()

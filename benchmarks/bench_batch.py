"""`pixelword batch` over many small images, killed on the way: what is lost, what is asked twice, how memory grows.

python benchmarks/bench_batch.py --images 10000 --out benchmarks/results/batch-nano.md
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from pixelword import machine

QUESTION = "what colour is the shape?"
_FOLDER = 500  # images in one


@dataclass
class Measured:
    """One start of the command. samples: (seconds since its start, MB resident, answers in the file)."""

    seconds: float = 0.0
    ended: str = ""
    samples: list[tuple[float, float, int]] = field(default_factory=list)


def draw(folder: Path, count: int) -> None:
    """Draw small images, all different."""
    for number in range(count):
        rng = Random(number)
        image = Image.new("RGB", (64, 64), tuple(rng.randrange(256) for _ in range(3)))
        x, y, side = rng.randrange(40), rng.randrange(40), rng.randrange(12, 24)
        place, colour = (x, y, x + side, y + side), tuple(rng.randrange(256) for _ in range(3))
        pen = ImageDraw.Draw(image)
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(place, fill=colour)
        image.putpixel((number % 64, number // 64 % 64), (number % 256, number // 256 % 256, 7))
        path = folder / f"{number // _FOLDER:03d}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, compress_level=1)


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def run(folder: Path, out: Path, kill_at: int | None, model: str) -> Measured:
    """Run the command, and kill it once that many answers are in the file."""
    command = [sys.executable, "-m", "pixelword", "batch", str(folder), QUESTION, "--out", str(out)]
    measured, begun = Measured(), time.monotonic()
    process = subprocess.Popen([*command, "--model", model, "--max-new-tokens", "8"])
    while process.poll() is None:
        lines = lines_in(out)
        try:
            measured.samples.append((time.monotonic() - begun, resident(process.pid), lines))
        except (FileNotFoundError, ProcessLookupError, IndexError):
            break
        if kill_at is not None and lines >= kill_at:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(1.0)
    code = process.wait()
    measured.seconds, measured.ended = time.monotonic() - begun, f"exit {code}" if code >= 0 else f"signal {-code}"
    return measured


def starts(runs: list[Measured]) -> list[str]:
    """Every start of the command in a row."""
    rows = ["| start | answers at its end | seconds | ended by | most MB |", "|---:|---:|---:|---|---:|"]
    for number, measured in enumerate(runs, 1):
        most = max(memory for _, memory, _ in measured.samples)
        cells = f"{measured.samples[-1][2]:,} | {measured.seconds:,.0f} | {measured.ended} | {most:,.0f}"
        rows.append(f"| {number} | {cells} |")
    return rows


def memory(measured: Measured) -> list[str]:
    """Memory of a start at every tenth of the answers that it added."""
    first, last = measured.samples[0][2], measured.samples[-1][2]
    rows = ["| answers in the last start | MB |", "|---:|---:|"]
    for tenth in range(1, 11):
        wanted = (last - first) * tenth // 10
        _, megabytes, lines = next(sample for sample in measured.samples if sample[2] - first >= wanted)
        rows.append(f"| {lines - first:,} | {megabytes:,.0f} |")
    return rows


def report(count: int, runs: list[Measured], out: Path, argv: list[str]) -> str:
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    images = Counter(record["image"] for record in records)
    twice = sum(number > 1 for number in images.values())
    answered = sum(record["usage"]["completion_tokens"] > 0 for record in records)
    facts = [
        f"# `pixelword batch`: {count:,} images on nano, killed {len(runs) - 1} times",
        f"`python benchmarks/bench_batch.py {' '.join(argv)}` on {machine.cpu_name()}, at nice {os.nice(0)}, "
        f"while other work ran on the same cores; {time.strftime('%Y-%m-%d')}.",
        f"- {len(images):,} of {count:,} images have an answer, {count - len(images):,} are lost, {twice:,} have two "
        f"lines; {answered:,} answers have tokens.",
        f"- {sum(run.seconds for run in runs):,.0f} s for all starts together; each loads the model and reads what is "
        "done.",
        "\n".join(starts(runs)),
        "\n".join(memory(runs[-1])),
        "MB are resident memory, sampled once a second; the cache of prompts' beginnings, at most 64 MB, fills first.",
    ]
    return "\n\n".join(facts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, help="file of the report; by default it is printed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pixelword-batch-") as folder:
        images, out = Path(folder) / "images", Path(folder) / "answers.jsonl"
        draw(images, args.images)
        stops = [args.images * (n + 1) // 20 for n in range(args.kills)]  # early: the last start shows memory
        runs = [run(images, out, stop, args.model) for stop in (*stops, None)]
        text = report(args.images, runs, out, sys.argv[1:])
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

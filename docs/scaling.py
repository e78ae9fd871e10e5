"""Prints the tables of docs/scaling.md, from the formulas of the dry run and the assumptions named below.

python docs/scaling.py                          # 2B and 9B on 16 nodes of 8 H100
python docs/scaling.py --run runs/nano/scratch  # the formulas against a run that has been made
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from pixelword.cli.dry_run import amount, duration
from pixelword.training.cost.estimate import Estimate, estimate, machine_for
from pixelword.training.cost.hardware import machine
from pixelword.training.recipe import Recipe
from pixelword.training.recipe_file import load_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
STAGES = ("pretrain", "midtrain", "sft", "neo/pretrain")
KIND, GPUS, MFU = "H100", 128, 0.4
JPEG = 0.25  # bytes of a picture's file for each of its pixels
TO_HOST = 20e9  # bytes/s from a GPU into its node's memory, half of what PCIe 5 x16 reaches at best
STORAGE = 10e9  # bytes/s that all nodes together write to one filesystem
# Llama 3 (arXiv 2407.21783, section 3.3.4): 419 unexpected interruptions in 54 days on 16,384 H100
FAILURES = 419 / (54 * 24 * 16_384)  # per GPU and hour
RESTART = 15 * 60  # seconds: until it is noticed, started again, compiled and loaded


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] == ["--run"]:
        print(checked(Path(arguments[1])))
    else:
        print("\n\n".join(f"### {size.upper()}\n\n{scaled(size)}" for size in ("2b", "9b")))


def scaled(size: str) -> str:
    """The table of a size: a column for every stage."""
    columns = []
    for stage in STAGES:
        recipe = load_recipe(RECIPES / size / f"{stage}.yaml")
        columns.append(_rows(recipe, estimate(recipe, machine(KIND, GPUS), MFU)))
    rows = {label: [column[label] for column in columns] for label in columns[0]}
    return table(("", *STAGES), rows)


def _rows(recipe: Recipe, cost: Estimate) -> dict[str, str]:
    step, sent, memory = cost.step, cost.communication, cost.memory
    state = memory.weights + memory.optimizer + memory.average
    stall = state / TO_HOST
    between = 3600 / (FAILURES * GPUS)  # seconds from one failure to the next
    interval = recipe.checkpoint.every * cost.step_seconds
    lost = interval / 2 + RESTART
    pixels = step.patches * 256
    return {
        "trained parameters, of all": " of ".join(
            amount(sum(counts[i] for counts in cost.parameters.values())) for i in (1, 0)
        ),
        "memory per GPU": f"{memory.total / 1e9:.1f} GB",
        "— state (weights, gradients, optimizer)": f"{(state + memory.gradients + memory.gathered) / 1e9:.1f} GB",
        "— activations": f"{memory.activations / 1e9:.1f} GB",
        "tokens per step": amount(step.tokens),
        "FLOPs per step": amount(cost.flops),
        "— recomputed": f"{cost.again / cost.flops:.0%} more ({recipe.activation_checkpointing})",
        "time per step": duration(cost.step_seconds),
        "sent per GPU and step": f"{sent.bytes / 1e9:.1f} GB",
        "— time if not overlapped": f"{duration(sent.seconds)} ({sent.seconds / cost.step_seconds:.0%} of the step)",
        "tokens per day": amount(cost.tokens_per_day),
        "whole stage": f"{amount(cost.stage_work.tokens)} tokens, {duration(cost.hours * 3600)}",
        "checkpoint": f"{cost.checkpoint / 1e9:.1f} GB",
        "— training paused": duration(stall),
        "— write time": duration(cost.checkpoint / STORAGE),
        "images and frames per second": f"{step.pictures / cost.step_seconds:,.0f}",
        "— read per node": f"{pixels * JPEG / cost.step_seconds / cost.machine.nodes / 1e6:,.0f} MB/s",
        "failures per stage": f"{cost.hours * 3600 / between:.2g}",
        "— checkpoint interval": duration(interval),
        "— optimal interval": duration(math.sqrt(2 * max(stall, 1e-3) * between)),
        "— mean work lost": f"{lost / between:.2%}",
    }


def checked(run: Path) -> str:
    """What the dry run says of a run's recipe beside what the run did, on this machine."""
    recipe = load_recipe(run / "recipe.yaml")
    cost = estimate(recipe, machine_for(recipe), MFU)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    late = [line for line in lines if line["event"] == "train"][-100:]
    seconds = statistics.median(line["step_s"] for line in late)
    tokens = statistics.median(line["tokens_per_s"] * line["step_s"] for line in late)
    saved = max((run / "checkpoints").glob("step-*"))
    size = sum(file.stat().st_size for file in saved.rglob("*.distcp"))
    return table(
        ("", "dry run", "run", "run / dry run"),
        {
            "tokens per step": _beside(cost.step.tokens, tokens),
            "bytes of a checkpoint": _beside(cost.checkpoint, size),
            "GFLOP/s (FLOPs of the dry run over the median step)": ["", f"{cost.flops / seconds / 1e9:.1f}", ""],
            "median step": ["", duration(seconds), ""],
        },
    )


def _beside(expected: float, found: float) -> list[str]:
    return [f"{expected:,.0f}", f"{found:,.0f}", f"{found / expected:.3f}"]


def table(head: Sequence[str], rows: dict[str, list[str]]) -> str:
    """Markdown."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *([label, *values] for label, values in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Output of `pixelword train --dry-run`: the cost of a stage as tables or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pixelword.training.cost.advice import Remedy
    from pixelword.training.cost.estimate import Estimate
    from pixelword.training.cost.memory import Memory

_PARTS = {
    "weights": "weights, float32",
    "frozen": "frozen projections",
    "gathered": "weights gathered",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "average": "moving average",
    "activations": "activations",
    "pixels": "patches",
    "head": "head, one chunk",
    "overhead": "CUDA, NCCL",
}


def print_json(cost: Estimate, remedies: Sequence[Remedy] = ()) -> None:
    """Print one JSON object: bytes, seconds, FLOPs, and the remedies where the stage does not fit."""
    print(json.dumps({**cost.to_dict(), "remedies": [asdict(remedy) for remedy in remedies]}))


def print_remedies(cost: Estimate, remedies: Sequence[Remedy]) -> None:
    """Print what to change where the stage does not fit."""
    if cost.memory.total <= cost.machine.memory:
        return
    print("\nDoes not fit. " + ("Apply in order:" if remedies else "No recipe field saves enough memory."))
    for remedy in remedies:
        verdict = "fits" if remedy.fits else "still too large"
        print(f"  --set {remedy.change:42} {remedy.memory / 1e9:7.1f} GB, {verdict}: {remedy.reason}")
    if not remedies or not remedies[-1].fits:
        print("  then use a larger GPU, or more of them (--gpus)")


def print_tables(cost: Estimate) -> None:
    """Print the cost as tables."""
    console = Console(highlight=False)
    where = cost.machine
    gpus = f"{where.gpus} × {where.name}" if where.gpus > 1 else f"one {where.name}"
    console.print(f"[bold]{cost.stage}[/] on {gpus}: a dry run, nothing is read or written\n")
    _print_parameters(console, cost)
    _print_memory(console, cost.memory, where.memory, f"{cost.shard} GPUs share the weights" if cost.shard > 1 else "")
    _print_step(console, cost)
    _print_time(console, cost)


def _table(console: Console, title: str, *columns: str) -> Table:
    """Print the title, return an empty table with right-aligned number columns."""
    console.print(title, style="bold")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    return table


def _print_parameters(console: Console, cost: Estimate) -> None:
    table = _table(console, "parameters", "", "all", "trained", "frozen")
    rows = {role.replace("_", " "): counts for role, counts in cost.parameters.items()}
    total = (sum(every for every, _ in rows.values()), sum(trained for _, trained in rows.values()))
    for role, (every, trained) in {**rows, "in all": total}.items():
        table.add_row(
            role, *(amount(number) if number else "–" for number in (every, trained, every - trained)),
            style="bold" if role == "in all" else "",
        )  # fmt: skip
    console.print(table, "")


def _print_memory(console: Console, memory: Memory, capacity: float, note: str) -> None:
    table = _table(console, "memory of each", "", "GB", "")
    for name, label in _PARTS.items():
        used = getattr(memory, name)
        if used:
            table.add_row(label, f"{used / 1e9:.2f}", _bar(used / max(memory.total, capacity)))
    fits = memory.total <= capacity
    verdict = f"of {capacity / 1e9:.0f}" if fits else f"[red]more than the {capacity / 1e9:.0f} there are[/]"
    table.add_row("in all", f"{memory.total / 1e9:.2f}", verdict, style="bold")
    console.print(table)
    if note:
        console.print(f"[dim]{note}[/]")
    console.print()


def _print_step(console: Console, cost: Estimate) -> None:
    table = _table(console, "work", "", "a step", "the stage")
    step, stage = cost.step, cost.stage_work
    for label, item, every in (
        ("samples", step.samples, stage.samples),
        ("tokens without padding", step.tokens, stage.tokens),
        ("of them with a loss", step.supervised, stage.supervised),
        ("images and frames", step.pictures, stage.pictures),
        ("visible pairs", step.pairs, stage.pairs),
        ("FLOPs of the model", cost.flops, cost.flops * cost.steps),
        ("FLOPs computed twice", cost.again, cost.again * cost.steps),
    ):
        if item:
            table.add_row(label, amount(item), amount(every))
    console.print(table)
    packs = cost.micro_batches * cost.machine.gpus
    console.print(f"[dim]{packs:,} packs a step, {cost.micro_batches} on each; {cost.steps:,} steps[/]\n")


def _print_time(console: Console, cost: Estimate) -> None:
    where, sent = cost.machine, cost.communication
    table = _table(console, f"time at {cost.mfu:.0%} of {where.peak / 1e12:.3g} TFLOP/s in {cost.precision}", "", "")
    table.show_header = False
    table.add_row("a step", duration(cost.step_seconds))
    if where.gpus > 1:
        table.add_row("what a GPU sends in it", f"{sent.bytes / 1e9:.1f} GB, {duration(sent.seconds)} by itself")
    table.add_row("tokens a day", amount(cost.tokens_per_day))
    table.add_row("a checkpoint", f"{cost.checkpoint / 1e9:.2f} GB")
    hours = f", {cost.hours * where.gpus:,.1f} GPU hours" if where.gpus > 1 else ""
    if cost.hours < cost.step_seconds * cost.steps / 3600:
        hours += " (max_minutes)"
    table.add_row("the stage", f"{duration(cost.hours * 3600)}{hours}", style="bold")
    console.print(table)


def _bar(share: float, width: int = 24) -> str:
    return "█" * max(1, round(share * width))


def amount(number: float) -> str:
    """Format a large number: 2.26B, 1.02P, 512."""
    for unit, size in (("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if abs(number) >= size:
            return f"{number / size:.2f}{unit}"
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Format seconds: 320 ms, 4.1 s, 12 min, 31 h, 9.5 days."""
    for unit, size, until in (("ms", 1e-3, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 172800.0)):
        if seconds < until:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} days"

"""`pixelword speedrun`: train from random weights to a target exam score, and measure the time."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli import options
from pixelword.errors import InputError
from pixelword.extras import install_command

RECIPES, RUNS = Path("recipes/speedrun"), Path("runs/speedrun")


def speedrun(
    track: Annotated[
        str, typer.Option(metavar="s1|s2|g", help="s1, s2: two CPU cores, two targets; g: one GPU (RECORDS.md).")
    ],
    recipe: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Recipe of a stage (repeatable, in order), or a folder of them (default: recipes/speedrun/TRACK).",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a field of every stage: --set threads=1 (repeatable).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds; a record is the median of three.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Output folder (default: runs/speedrun/TRACK).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the runs in --out, or add seeds.")] = False,
    questions: Annotated[
        int | None, typer.Option(min=2, help="Number of exam questions per kind, for a trial; a record needs all.")
    ] = None,
) -> None:
    """Train from random weights, stage by stage, run the exam, and print a row for RECORDS.md.

    Counts CPU seconds (user and system, of training and its data workers), on track g wall-clock seconds; the exam is
    excluded. The row, its curve, the log and the resolved recipes go to --out.

    Example: pixelword speedrun --track s1 --seeds 1

    Example: pixelword speedrun --track s1 --recipe my-recipe.yaml --seeds 1 --questions 40 --out runs/try
    """
    from pixelword_lab.speedrun import rules, running

    if track not in rules.TRACKS:
        raise InputError(f"--track {track}: unknown; choose one of {', '.join(rules.TRACKS)}")
    chosen = rules.TRACKS[track]
    paths = recipe or [RECIPES / track]
    stages = rules.load_stages(paths, chosen, set_ or ())
    if find_spec("matplotlib") is None:
        raise InputError(f"the curve needs matplotlib: {install_command('tasks', of='pixelword-lab')}")
    plan = running.Plan(chosen, stages, paths, seeds, out or RUNS / track, questions)
    stopped = running.run(plan, resume, lambda line: print(line, flush=True))
    if stopped is not None:
        raise typer.Exit(128 + stopped)  # what a shell reports for a process stopped by a signal
    with options.progress("writing the row …"), options.quiet_imports():
        from pixelword_lab.speedrun.row import write

        lines = write(plan)
    for line in lines:
        print(line)

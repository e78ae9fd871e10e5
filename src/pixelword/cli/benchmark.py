"""`pixelword benchmark MODEL`: the paper's thirty benchmarks, from local files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli import options, paper


def benchmark(
    model: Annotated[str, typer.Argument(metavar=options.MODEL, help=options.MODEL_HELP)] = "nano",
    tasks: Annotated[
        list[str] | None, typer.Option(help="Run only this benchmark or category (repeatable): mmstar, spatial …")
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder with the benchmark files.")] = paper.DATA,
    plan: Annotated[bool, typer.Option("--plan", help="Print what a run needs, without running it.")] = False,
    gpu: Annotated[
        str | None, typer.Option(metavar="H100|…|CPU", help="--plan: target hardware (default: this CPU).")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=2, help="Number of questions per benchmark (default: all).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the selected questions.")] = 0,
    sampling: Annotated[
        str, typer.Option(metavar="greedy|upstream", help="greedy, or upstream's sampling at temperature 0.6.")
    ] = "greedy",
    own_limits: Annotated[
        bool, typer.Option("--own-limits", help="Use the model's own pixel limits instead of the paper's.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder for paper.json, paper.md and answers; resumes an interrupted run."),
    ] = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of tables.")] = False,
) -> None:
    """Run the paper's thirty benchmarks on local files, with its prompts and metrics.

    Example: pixelword benchmark 2b --plan --gpu H100

    Example: pixelword benchmark runs/2b/final --data data/benchmarks --out runs/paper
    """
    request = paper.Asked(
        model, tasks or (), data, questions, seed, sampling, own_limits, out, gpu, dtype, device, as_json
    )
    return paper.plan(request) if plan else paper.evaluate(request)

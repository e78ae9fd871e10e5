"""`pixelword ablate FILE…`: train and measure variants side by side, and report the results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli import options


def ablate(
    files: Annotated[list[Path], typer.Argument(help="YAML files of the ablations, most important first.")],
    out: Annotated[Path, typer.Option(help="Output folder of all runs.")] = Path("runs/ablations"),
    plan: Annotated[bool, typer.Option("--plan", help="Only print what would run and what is done.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Train nothing; update the tables and plots of this page from existing results."),
    ] = None,
) -> None:
    """Train and measure the variants of an ablation with several seeds; rerun to resume.

    Stages shared by variants are trained once. Variants marked `later` run last. Processes with the same --out share
    the work.

    Example: pixelword ablate recipes/ablations/attention.yaml

    Example: timeout 60m pixelword ablate recipes/ablations/{attention,eyes,growth,stages}.yaml

    Example: pixelword ablate recipes/ablations/attention.yaml --report lab/docs/ablations.md
    """
    from pixelword_lab.ablations.recipe import load_ablation

    ablations = [load_ablation(path) for path in files]
    with options.progress("reading the ablations …"), options.quiet_imports():
        from pixelword_lab.ablations import report as reporting
        from pixelword_lab.ablations import running
        from pixelword_lab.ablations.jobs import cells

        found = cells(ablations, out)
    if plan:
        for line in reporting.plan(found):
            print(line)
        return
    if report is None:
        stopped = running.run(found, lambda line: print(line, flush=True))
        if stopped is not None:
            raise typer.Exit(128 + stopped)  # what a shell reports for a process stopped by a signal
        for ablation in ablations:
            reporting.show(reporting.summary(ablation, found))
        return
    for path, ablation in zip(files, ablations, strict=True):
        reporting.write(report, path, reporting.summary(ablation, found))
    print(f"wrote {report}")

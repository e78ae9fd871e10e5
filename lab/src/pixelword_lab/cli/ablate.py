"""`pixelword ablate FILE…`: train and measure variants side by side, and write down what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli import options


def ablate(
    files: Annotated[list[Path], typer.Argument(help="Ablations' YAML files, in the order of their importance.")],
    out: Annotated[Path, typer.Option(help="Folder of everything that is trained.")] = Path("runs/ablations"),
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be run, and what is done.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Train nothing; write tables and plots of what is there between the marks of this page."),
    ] = None,
) -> None:
    """Train and measure the variants of an ablation with several seeds; stopped, the same command goes on.

    What variants have in common is trained once. Variants marked `later` come after everything else. Started again
    beside itself with the same --out, it shares the work with the other.

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

"""`pixelword train RECIPE`: run one stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[Path, typer.Argument(help="The stage's YAML file, for example recipes/nano/scratch.yaml.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a field: --set optimizer.lr=2e-4 (repeatable).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; the recipe's `out` when absent.")] = None,
    resume: Annotated[
        str,
        typer.Option(help="'auto': go on from the newest checkpoint in --out, if any; 'no'; or a checkpoint folder."),
    ] = "no",
) -> None:
    """Train one stage; metrics go to OUT/metrics.jsonl, the result to OUT/final.

    Example: pixelword train recipes/nano/sft.yaml --set steps=200 --resume auto
    """
    from pixelword.training.launch import launch

    outcome = launch(recipe, overrides=set_ or [], out=out, resume=resume)
    if outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)  # what a shell reports for a process stopped by a signal

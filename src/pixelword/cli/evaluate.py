"""`pixelword evaluate MODEL`: what it can do, kind by kind, with its picture, without it, and with a wrong one."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from pixelword.cli import options


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="A packaged model or a checkpoint's folder.")
    ] = "nano",
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind of question (repeatable); all when absent.")
    ] = None,
    questions: Annotated[int, typer.Option(min=2, help="Questions of each kind, one to a picture.")] = 200,
    level: Annotated[float, typer.Option(min=0.0, max=1.0, help="0: one large thing; 1: up to five small ones.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed draws other pictures, all held out from training.")] = 0,
    dtype: options.Dtype = None,
    device: options.Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a kind instead of a table.")] = False,
) -> None:
    """Exact answers on held-out drawn pictures, beside those without the picture and with a wrong one.

    Example: pixelword evaluate nano --kind colour --kind count --questions 100
    """
    session = options.open_session(model, dtype=dtype, device=device)
    from rich.console import Console
    from rich.table import Table

    from pixelword.evaluation import evaluate as scores
    from pixelword.tasks.nano import ASKED

    table = Table("kind", "questions", "chance", "with its picture", "without", "with a wrong one")
    with options.progress(f"asking {model} …"):
        for score in scores(session, kinds=kind or ASKED, questions=questions, level=level, seed=seed):
            if as_json:
                print(json.dumps(dataclasses.asdict(score)), flush=True)
            shares = (
                "–" if x is None else f"{x:.0%}" for x in (score.chance or None, score.right, score.none, score.wrong)
            )
            table.add_row(score.kind, str(score.questions), *shares)
    if not as_json:
        Console().print(table)

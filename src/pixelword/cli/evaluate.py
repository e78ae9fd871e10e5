"""`pixelword evaluate MODEL`: what it can do, test by test, with its pictures, without them, and with wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli import options

_SUITES = Annotated[
    list[str] | None,
    typer.Option(
        "--suite", metavar="held-out|real|nano", help="What to ask (repeatable); nano: its own, else held-out."
    ),
]


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="A packaged model or a checkpoint's folder.")
    ] = "nano",
    suite: _SUITES = None,
    tasks: Annotated[
        list[str] | None, typer.Option(help="Only this test (repeatable): scenes, easy-vqa, colour …")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=2, help="Questions of each test; its own number when absent.")
    ] = None,
    controls: Annotated[
        int | None, typer.Option(min=2, help="Of them, how many are asked without and with a wrong picture, too.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Everything a test has, and all controls.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other questions, all of them held out.")] = 0,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="rapidocr|NAME|DIR", help="Ask this beside it (repeatable); a model gets no pictures."),
    ] = None,
    assets: Annotated[Path | None, typer.Option(help="Where asset packs lie; the usual folder when absent.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for report.html, report.json and every answer; goes on where it was.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="A model card whose table between its marks is written anew.")
    ] = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of tables.")] = False,
) -> None:
    """What a model answers rightly: on drawn pictures of kinds it may know, all held out, or on real ones.

    Example: pixelword evaluate nano --tasks colour --tasks count --questions 100 --out runs/evaluation
    """
    session = options.open_session(model, dtype=dtype, device=device)
    from pixelword.data.progress import bar
    from pixelword.evaluation import page, peers, tables
    from pixelword.evaluation.about import about, identity
    from pixelword.evaluation.report import Summary
    from pixelword.evaluation.runner import Answers, run
    from pixelword.evaluation.suite import chosen
    from pixelword.tasks.assets import Assets

    suites = suite or ["nano" if model == "nano" else "held-out"]
    packs = Assets(assets)
    asked = chosen(suites, tasks or (), packs)
    settings = {"questions": questions, "controls": controls, "full": full, "seed": seed}
    described = about(session, model, {"suites": suites, **settings})
    others = peers.named(peer or (), device=device)
    answers = Answers(out, identity(described))
    summary = Summary(described)
    with bar("asking") as report:
        for outcome in run(
            session, asked, answers, questions=questions, controls=controls, full=full, seed=seed, peers=others,
            report=report,
        ):  # fmt: skip
            summary.add(outcome)
    told = summary.finished()
    if out is not None:
        page.write(out, told, summary.failures)
    if card is not None:
        tables.fill(card, told)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
    else:
        tables.show(told)
    if not told["tests"]:
        raise typer.Exit(1)  # nothing could be asked

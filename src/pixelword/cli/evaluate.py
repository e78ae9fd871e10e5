"""`pixelword evaluate MODEL`: accuracy per test with the right images, without images, and with wrong images."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli import options, paper
from pixelword.cli.benchmark import benchmark
from pixelword.errors import AssetError, InputError

if TYPE_CHECKING:
    from pixelword.evaluation.report import Summary
    from pixelword.evaluation.runner import Outcome
    from pixelword.generation.session import Session
    from pixelword.synthetic.assets import Assets

#: Parameter count below which a second thread costs more CPU time than it saves.
_SMALL = 10_000_000
_SUITES = Annotated[
    list[str] | None,
    typer.Option(
        "--suite",
        metavar="held-out|real|nano|nano-real|retrieval",
        help="Suite to run (repeatable; default: nano for nano, else held-out).",
    ),
]


def evaluate(
    model: Annotated[str, typer.Argument(metavar=options.MODEL, help=options.MODEL_HELP)] = "nano",
    adapter: options.Adapter = None,
    suite: _SUITES = None,
    tasks: Annotated[
        list[str] | None, typer.Option(help="Run only this test (repeatable): scenes, easy-vqa, colour …")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=2, help="Number of questions per test (default: depends on the test).")
    ] = None,
    controls: Annotated[
        int | None,
        typer.Option(min=2, help="Number of questions that also run without an image and with a wrong image."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Run all questions of each test, and all controls.")] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of the generated questions; all seeds are held out.")
    ] = 0,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="rapidocr|NAME|DIR|ORG/NAME",
            help="Baseline to compare with (repeatable); a model runs without images.",
        ),
    ] = None,
    assets: Annotated[
        Path | None,
        typer.Option(help="Folder of asset packs (default: $PIXELWORD_ASSETS or ~/.cache/pixelword/assets)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder for report.html, report.json and answers; resumes an interrupted run."),
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Model card whose accuracy table is updated in place.")] = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of CPU threads (default: one for small models, else PyTorch's).")
    ] = None,
    compress: options.Compress = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Evaluate on your own held-out samples instead of a suite (JSONL and others)."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="auto|exact|letter|number|words|box|point|choice",
            help="--data: how to score answers; auto decides by each reference answer, words reports CER.",
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="--data: base folder of relative media paths (default: the file's folder).")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="--data: JSONL file to write with every answer and its score; also written to --out."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", hidden=True)] = False,
    sampling: Annotated[str, typer.Option(hidden=True)] = "greedy",
    own_limits: Annotated[bool, typer.Option("--own-limits", hidden=True)] = False,
    gpu: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of tables.")] = False,
) -> None:
    """Evaluate a model on held-out synthetic tasks, on real images, or on your own data.

    Example: pixelword evaluate nano --tasks colour --tasks count --questions 100 --out runs/evaluation

    Example: pixelword evaluate runs/lora/final --data held_out.jsonl --predictions predictions.jsonl
    """
    if "paper" in (suite or ()):
        if set(suite or ()) != {"paper"}:
            raise InputError("--suite paper runs by itself: its files, prompts and metrics are its own")
        others_alone = {"--controls": controls, "--full": full, "--peer": peer, "--assets": assets, "--card": card,
                        "--metric": metric, "--root": root, "--predictions": predictions,
                        "--adapter": adapter}  # fmt: skip
        if given := [name for name, value in others_alone.items() if value]:
            raise InputError(f"{given[0]} is not of --suite paper: leave it out")
        print("note: `evaluate --suite paper` is `pixelword benchmark` now; this spelling goes in the next release",
              file=sys.stderr)  # fmt: skip
        folder = Path(data) if data else paper.DATA
        return benchmark(
            model, tasks, folder, plan, gpu, questions, seed, sampling, own_limits, out, dtype, device, as_json
        )
    of_benchmarks = {"--plan": plan, "--sampling": sampling != "greedy", "--own-limits": own_limits, "--gpu": gpu}
    if given := [name for name, value in of_benchmarks.items() if value]:
        raise InputError(f"{given[0]} is of `pixelword benchmark`: use that, or leave {given[0]} out")
    of_suites = {"--suite": suite, "--tasks": tasks, "--assets": assets, "--card": card}
    of_data = {"--metric": metric, "--root": root, "--predictions": predictions}
    if given := [name for name, value in (of_suites if data else of_data).items() if value]:
        raise InputError(f"{given[0]} is not of --data" if data else f"{given[0]} is of --data: add --data FILE")
    if card is not None:
        with options.quiet_imports():
            from pixelword.evaluation.tables import place
        place(card).check()  # before anything runs
    from pixelword.evaluation.suite import chosen, named
    from pixelword.synthetic.assets import Assets

    suites = ["data"] if data else suite or ["nano" if model == "nano" else "held-out"]
    packs, wanted = Assets(assets), [] if data else named(dict.fromkeys(suites))
    if data:
        from pixelword.evaluation.own_data import own_test

        tests = [own_test(data, metric=metric or "auto", root=root)]
    else:
        tests = chosen(suites, tasks or (), packs)
    session = options.open_session(model, dtype=dtype, device=device, adapter=adapter, compress=compress)
    _use_threads(session, threads)
    from pixelword.checkpoints.names import resolve
    from pixelword.data.progress import bar
    from pixelword.evaluation import baselines, page, tables
    from pixelword.evaluation.report import Summary
    from pixelword.evaluation.run_metadata import about, checksum, identity
    from pixelword.evaluation.runner import Answers, run

    settings: dict[str, Any] = {"questions": questions, "controls": controls, "full": full, "seed": seed}
    if data:
        settings |= {"data": data, "metric": metric or "auto"}
    if compress is not None:
        settings["compress"] = compress
    if adapter is not None:
        settings["adapter"] = checksum(adapter)
    described = about(session, model, {"suites": suites, **settings})
    others = baselines.named(peer or (), device=device)
    answers = Answers(out, identity(described))
    summary = Summary(described, [name for item in wanted for name in item.categories])
    with bar("asking") as report:
        for outcome in run(
            session, tests, answers, questions=questions, controls=controls, full=full, seed=seed, peers=others,
            report=report,
        ):  # fmt: skip
            summary.add(outcome)
            if data:
                _write_predictions(outcome, predictions, out)
        for pairs in (pairs for item in wanted for pairs in item.pairs if not tasks or pairs.name in tasks):
            amount = questions or (pairs.full if full else pairs.default)
            try:
                summary.retrieval.append(pairs.measure(session, packs, number=amount, seed=seed, report=report))
            except AssetError as error:
                summary.left_out[pairs.name] = str(error)
    if any(item.perplexity and (not tasks or item.perplexity in tasks) for item in wanted):
        _read(summary, session, resolve(model), packs, full)
    results = summary.finished()
    if out is not None:
        page.write(out, results, summary.failures)
    if card is not None:
        tables.place(card).write(tables.markdown(results))
    if as_json:
        print(json.dumps(results, ensure_ascii=False))
    else:
        tables.show(results)
    if not results["tests"] and not results["retrieval"]:
        raise typer.Exit(1)  # no test could run


def _write_predictions(outcome: Outcome, file: Path | None, out: Path | None) -> None:
    """Write one line per question to the file and to the output folder, if given."""
    from pixelword.evaluation.own_data import predictions
    from pixelword.utils.files import atomic_write

    lines = "".join(json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in predictions(outcome))
    for path in (file, out and out / "predictions.jsonl"):
        if path is not None:
            atomic_write(path, lines)


def _use_threads(session: Session, threads: int | None) -> None:
    """Set the number of threads; by default one for a model too small to benefit from more."""
    import torch

    small = session.model.device.type == "cpu" and session.model.num_parameters() < _SMALL
    if threads is None and small and "OMP_NUM_THREADS" not in os.environ:
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)


def _read(summary: Summary, session: Session, folder: Path, packs: Assets, full: bool) -> None:
    """Perplexity on held-out text."""
    from pixelword.evaluation import language

    try:
        with options.progress("reading held-out text …"):
            summary.language = language.measured(session, folder, packs, language.FULL if full else language.TOKENS)
    except AssetError as error:
        summary.left_out["perplexity"] = str(error)

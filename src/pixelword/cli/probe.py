"""`pixelword probe MODEL`: where pixels meet words in a model, measured with controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli import options
from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.evaluation.types import Test
    from pixelword.explain.probe.types import Finding

#: Of the suite "nano", kinds that the packaged model was trained on and that have images.
_NANO = (
    "colour", "shape", "count", "count_of", "where", "what", "yesno", "describe", "digits", "letters", "pair", "motion",
)  # fmt: skip


def probe(
    model: Annotated[str, typer.Argument(metavar=options.MODEL, help=options.MODEL_HELP)] = "nano",
    suite: Annotated[
        list[str] | None,
        typer.Option(
            "--suite",
            metavar="nano|held-out|real|…",
            help="Suite whose questions are used (repeatable; default: nano).",
        ),
    ] = None,
    tasks: Annotated[list[str] | None, typer.Option(help="Use only this test of the suite (repeatable).")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Use your own questions instead of a suite (JSONL and others).")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="--data: base folder of relative media paths (default: the file's folder).")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of questions per test (default: 20; 10 with --compression).")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Run only this probe (repeatable): knockout, split, retained, readout, images, drift, "
            "sinks, parts, cka.",
        ),
    ] = None,
    compression: Annotated[
        bool,
        typer.Option(
            "--compression", help="Instead: accuracy, memory and first token when few visual tokens are kept."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the questions and the random controls.")] = 0,
    out: Annotated[Path, typer.Option(help="Output folder for probe.html and probe.json.")] = Path("runs/probe"),
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    dtype: Annotated[
        str, typer.Option(help="Precision: float32 is most accurate, bfloat16 halves the memory.")
    ] = "float32",
    device: options.Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON instead of tables.")] = False,
) -> None:
    """Probe where text reads images: knock-outs by layer, two-pass split, fusion depth, sinks, T/H/W shares, CKA.

    Example: pixelword probe nano --only knockout --only split --out runs/probe

    Example: pixelword probe runs/lora/final --data held_out.jsonl --limit 100
    """
    if data and (suite or tasks):
        raise InputError("--suite and --tasks are of packaged questions: leave them out with --data")
    if root is not None and not data:
        raise InputError("--root is of --data: add --data FILE")
    with options.quiet_imports():
        from pixelword.explain.probe.study import check_names
    check_names(only or ())
    limit = limit or (10 if compression else 20)
    if compression and only:
        raise InputError("--compression is a study by itself: leave out --only")
    tests = _tests(suite, tasks, data, root)
    session = options.open_session(model, dtype=dtype, device=device, min_pixels=min_pixels, max_pixels=max_pixels)
    from pixelword.data.progress import bar
    from pixelword.explain.probe import page
    from pixelword.explain.probe.questions import Questions
    from pixelword.explain.probe.study import run_on

    config = session.model.config.get_text_config()
    findings: list[Finding] = []
    facts: dict[str, Any]
    with bar("probing:") as report:
        if compression:
            from pixelword.explain.probe.compression import table

            facts = {"model": model, "of": data or ", ".join(suite or ["nano"]), "seed": seed, "dtype": dtype}
            for found in table(session, tests, limit=limit, seed=seed, report=report):
                findings.append(found)
                page.write(out, findings, facts, 0, {})
                if not as_json:
                    _show(found)
            return _end(findings, facts, out, as_json)
        questions = Questions.of(session, tests, limit=limit, seed=seed, report=report)
        facts = {
            "model": model, "layers": config.num_hidden_layers, "pre-buffer": config.extra_num_layers,
            "questions": len(questions), "of": data or ", ".join(suite or ["nano"]), "seed": seed, "dtype": dtype,
        }  # fmt: skip
        for found in run_on(questions, only or ()):
            findings.append(found)
            page.write(out, findings, facts, config.extra_num_layers, questions.left_out)  # interrupted runs keep it
            if not as_json:
                _show(found)
    _end(findings, facts, out, as_json)


def _end(findings: list[Finding], facts: dict[str, Any], out: Path, as_json: bool) -> None:
    """Print the results as JSON, or where they are."""
    if as_json:
        print(json.dumps({"run": facts, "findings": [item.as_json() for item in findings]}, ensure_ascii=False))
    else:
        print(f"{out / 'probe.html'}: {(out / 'probe.html').stat().st_size / 1000:,.0f} kB")


def _tests(suite: list[str] | None, tasks: list[str] | None, data: str | None, root: Path | None) -> list[Test]:
    if data:
        from pixelword.evaluation.own_data import own_test

        return [own_test(data, root=root)]
    from pixelword.evaluation.suite import chosen

    return chosen(suite or ["nano"], tasks or (() if suite else _NANO))


def _show(found: Finding) -> None:
    """Print a probe's figures as a table, and its curves as one line each."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = f"{found.title}: {found.unit}, {found.questions} questions"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("value [95 %]", justify="right", no_wrap=True)
    for item in found.bars:
        name = f"{item.name} (control)" if item.control else item.name
        table.add_row(name, f"{item.rate.value:.3g} [{item.rate.low:.3g}, {item.rate.high:.3g}]")
    for curve in found.curves if not found.bars else ():
        table.add_row(curve.name, " ".join(f"{rate.value:.2f}" for rate in curve.rates))
    for what, value in found.published:
        table.add_row(f"published: {what}", value, style="dim")
    Console(highlight=False).print(table)

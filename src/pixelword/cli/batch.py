"""`pixelword batch INPUT… "question" --out FILE`: many images, an answer for each."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli import options
from pixelword.errors import InputError

if TYPE_CHECKING:
    from pixelword.batch.answering import Answerer
    from pixelword.batch.rows import Inputs
    from pixelword.batch.run import Answers, Progress, Summary
    from pixelword.integrations.ray.answering import ReplicatedAnswerer

_SECONDS = 30.0  # between two lines of progress, where there is no terminal


def batch(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT|QUESTION",
            help="Images, folders, globs, or JSONL and CSV files with image, question and id; then the question.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File of the answers: .jsonl, .csv or .parquet.")],
    failed: Annotated[Path | None, typer.Option(help="File of the failures (default: OUT.failed.jsonl).")] = None,
    model: options.Model = "nano",
    adapter: options.Adapter = None,
    quantize: options.Quantize = None,
    system: options.System = None,
    max_new_tokens: options.MaxNewTokens = None,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = None,
    top_p: options.TopP = 1.0,
    top_k: options.TopK = 0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    stop: options.Stop = None,
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    frame_budget: options.FrameBudget = None,
    allow_urls: options.AllowUrls = False,
    dtype: options.Dtype = None,
    device: options.Device = None,
    schema: options.SchemaFile = None,
    max_num_seqs: Annotated[int, typer.Option(min=1, help="Inputs that run in a model at once.")] = 16,
    retries: Annotated[int, typer.Option(min=0, help="Further tries of reading that failed and may pass.")] = 2,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="local|auto|HOST:PORT",
            help="Answer by replicas on a Ray cluster; local starts one on this machine.",
        ),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="With --ray: models at once (default: one per GPU, or per machine).")
    ] = None,
) -> None:
    """Answer a question about many images; running the same command again goes on where it stopped.

    Each answer is a line with the input, the answer, the places it names (objects) and token counts. Failures have a
    line each in OUT.failed.jsonl, and then the exit code is 1.

    Example: pixelword batch photos/ "what is on the left?" --out answers.jsonl

    Example: pixelword batch "scans/**/*.png" "Find the signature." --out answers.parquet

    Example: pixelword batch photos/ "Find every cup." --schema boxes --out cups.jsonl

    Example: pixelword batch questions.jsonl --out answers.csv --max-new-tokens 64

    Example: pixelword batch photos/ "what is this?" --out answers.jsonl --ray 10.0.0.5:6379
    """
    from pixelword.batch import export

    inputs = _inputs(words)
    export.check(out)
    failed = failed or export.failures_of(out)
    export.check_apart(out, failed, inputs.sources)
    if replicas is not None and ray is None:
        raise InputError("--replicas is for --ray: add it, or leave --replicas out")
    form = options.form(schema)
    how: dict[str, Any] = {
        "max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed, "top_p": top_p, "top_k": top_k,
        "repetition_penalty": repetition_penalty, "stop": stop or (),
    }  # fmt: skip
    loading: dict[str, Any] = {"dtype": dtype, "device": device, "adapter": adapter, "quantize": quantize}
    reading: dict[str, Any] = {"min_pixels": min_pixels, "max_pixels": max_pixels, "frame_budget": frame_budget}
    known: dict[str, Any] = {"quantize": quantize, "system": system, **how, **reading}
    answerer: Answerer | ReplicatedAnswerer
    if ray is None:
        session = options.open_session(model, allow_urls=allow_urls, **loading, **reading)
        from pixelword.batch.answering import Answerer

        identity = {**_identity(model, adapter, known), "dtype": str(session.model.dtype)}
        session.drawn_only = False
        sampling = session.sampling(**how, structured_outputs=form)
        answerer = Answerer(
            session, sampling, system=system, identity=identity, boxes=schema == "boxes", max_num_seqs=max_num_seqs
        )
    else:
        answerer = _replicated(
            ray, replicas, model, loading, {**reading, "allow_urls": allow_urls},
            how=how, form=form, boxes=schema == "boxes", system=system, max_num_seqs=max_num_seqs,
            identity=_identity(model, adapter, known),
        )  # fmt: skip
    with answerer, _stoppable(out):
        summary = _run(inputs, answerer, out, failed, retries)
    _report(summary, out, failed)
    if summary.failed:
        raise typer.Exit(1)


def _identity(model: str, adapter: Path | None, known: dict[str, Any]) -> dict[str, Any]:
    """What answers depend on, but for the weights' type: digests of the weights, and options."""
    from pixelword.checkpoints.names import resolve
    from pixelword.evaluation.run_metadata import checksum

    return {"model": checksum(resolve(model)), "adapter": adapter and checksum(adapter), **known}


def _replicated(
    address: str, replicas: int | None, model: str, loading: dict[str, Any], reading: dict[str, Any], **work: Any
) -> ReplicatedAnswerer:
    """Replicas on a cluster. work: other fields of `Work`. Raises InputError."""
    from pixelword.integrations.ray.cluster import connect

    connect(address)
    with options.progress("loading …"), options.quiet_imports():
        from pixelword.integrations.ray.answering import ReplicatedAnswerer, Work
        from pixelword.processing.options import MediaOptions
    if Path(model).is_dir():  # replicas have another working folder
        model = str(Path(model).resolve())
    if loading["adapter"] is not None:
        loading = {**loading, "adapter": loading["adapter"].resolve()}
    return ReplicatedAnswerer(Work(model, loading, MediaOptions(**reading), **work), address, replicas)


def _inputs(words: list[str]) -> Inputs:
    """Split the words into inputs and a question. Raises InputError."""
    from pixelword.batch.rows import TABLES, Inputs, is_input

    *sources, last = words
    if is_input(last):
        if Path(last).suffix not in TABLES:
            options.check_question(last, "batch", alone=True)
        return Inputs(words, None)
    if not sources:
        raise InputError(
            f"{last!r} is not a file, a folder or a glob that matches any: put the images before the question"
        )
    return Inputs(sources, last)


def _run(inputs: Inputs, answerer: Answers, out: Path, failed: Path, retries: int) -> Summary:
    from pixelword.batch.export import export, journal_of
    from pixelword.batch.journal import Failures, Journal, lines_at
    from pixelword.batch.run import Job

    with Journal(journal_of(out)) as journal:
        failures = Failures(failed)
        try:
            with _progress(len(inputs)) as progress:
                job = Job(answerer, journal, failures, retries=retries, progress=progress)
                job.run(inputs)
        finally:
            failures.close()
        if out.suffix != ".jsonl":
            export(out, lines_at(journal, job.offsets))
    return job.summary


@contextmanager
def _stoppable(out: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the job; what was answered is in the file."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; answers so far are kept beside {out.name}: run the same command to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(rows: int) -> Iterator[Progress]:
    """A bar on a terminal, else a line now and then, both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(rows)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        "left:",
        TimeRemainingColumn(),
        "{task.description}",
    )
    with Progress(*columns, console=console) as shown:
        bar = shown.add_task("", total=rows)

        def update(done: int, failed: int) -> None:
            shown.update(bar, completed=done, description=f"{failed:,} failed" if failed else "")

        yield update


class _Lines:
    def __init__(self, rows: int) -> None:
        self.rows, self.last = rows, time.monotonic()

    def __call__(self, done: int, failed: int) -> None:
        if time.monotonic() - self.last > _SECONDS:
            self.last = time.monotonic()
            print(f"{done:,} of {self.rows:,} inputs, {failed:,} failed", file=sys.stderr, flush=True)


def _report(summary: Summary, out: Path, failed: Path) -> None:
    parts = [f"{summary.rows:,} inputs: {summary.answered:,} answered"]
    parts += [f"{summary.known:,} known from before"] if summary.known else []
    parts += [f"{summary.copied:,} the same as others"] if summary.copied else []
    parts += [f"{summary.failed:,} failed, in {failed}"] if summary.failed else []
    print(f"{', '.join(parts)}; answers in {out}", file=sys.stderr)

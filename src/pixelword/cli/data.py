"""`pixelword data convert|index|check|stats|view`: training data, before training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelword.cli import data_look
from pixelword.cli.help import Command, Group
from pixelword.errors import InputError, RecipeError

if TYPE_CHECKING:
    from pixelword.data.index import Index
    from pixelword.data.recipe import DataRecipe
    from pixelword.processing.options import MediaOptions
    from pixelword.processing.processor import NeoOVProcessor

app = typer.Typer(
    cls=Group,
    name="data",
    no_args_is_help=True,
    help="Inspect, check and index training data.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=Command)(data_look.stats)
app.command(cls=Command)(data_look.view)


@app.command(cls=Command)
def convert(
    source: Annotated[Path, typer.Argument(help="CSV, TSV, JSON, JSONL, Parquet, or a folder with metadata.jsonl.")],
    out: Annotated[Path, typer.Argument(help="The JSONL file to write; media paths become relative to it.")],
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=NAME", help="Column of image, video, question, answer, system … (repeatable)."),
    ] = None,
) -> None:
    """Convert a table, alpaca, TRL, LLaMA-Factory or Hugging Face data to JSONL samples.

    Example: pixelword data convert answers.csv train.jsonl --column image=photo --column answer=truth
    """
    from pixelword.data.convert import convert as converted

    pairs = [item.partition("=") for item in column or ()]
    if bad := [field for field, equals, name in pairs if not (equals and name)]:
        raise InputError(f"--column {bad[0]}: give FIELD=NAME")
    number = converted(source, out, {field: name for field, _, name in pairs})
    print(f"{out}: {number:,} samples; check them: pixelword data check {out}")


Workers = Annotated[int | None, typer.Option(min=0, help="Number of reader processes (default: one per core).")]


@app.command(cls=Command)
def index(
    what: data_look.What,
    set_: data_look.Set = None,
    model: data_look.Processor = None,
    root: data_look.Root = None,
    workers: Workers = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Rebuild indexes even if nothing seems to have changed.")
    ] = False,
) -> None:
    """Build the index of each source (token counts, image sizes), so that training starts immediately.

    Example: pixelword data index train.jsonl
    """
    data, processor, media = _read(what, set_ or [], model, root)
    from pixelword.data.indexing import build_index
    from pixelword.data.progress import bar
    from pixelword.data.sources import open_source

    found: dict[str, Index] = {}
    with bar("indexing") as shown:
        for name, recipe in data.sources.items():
            source = open_source(name, recipe, data.index)
            found[name] = build_index(
                source, processor, media, workers=_cores(workers), folder=data.index, progress=shown, rebuild=rebuild
            )
    _summarize(found)
    if any(item.faults for item in found.values()):
        print(f"not all can be used; this says why: pixelword data check {what}")


@app.command(cls=Command)
def check(
    what: data_look.What,
    set_: data_look.Set = None,
    model: data_look.Processor = None,
    root: data_look.Root = None,
    workers: Workers = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode images and videos in full, not only their headers.")
    ] = False,
) -> None:
    """List every unusable sample by file and line; exit code 1 if there are any.

    Example: pixelword data check train.jsonl --decode
    """
    data, processor, media = _read(what, set_ or [], model, root)
    from pixelword.data.checking import check as faults_of
    from pixelword.data.progress import bar
    from pixelword.data.sources import open_source

    found: dict[str, Index] = {}
    faults = 0
    with bar("checking") as shown:
        for name, recipe in data.sources.items():
            try:
                source = open_source(name, recipe, data.index)
            except RecipeError as error:  # the other sources are still checked
                messages = [str(error)]
            else:
                found[name], messages = faults_of(
                    source,
                    processor,
                    media,
                    decode=decode,
                    workers=_cores(workers),
                    folder=data.index,
                    progress=shown,
                )
                # files of two sources may share a name
                messages = [f"{name}: {fault}" for fault in messages] if len(data.sources) > 1 else messages
            faults += len(messages)
            for fault in messages:
                print(fault, flush=True)
    _summarize(found)
    if faults:
        print(f"{faults:,} {'fault' if faults == 1 else 'faults'}")
        raise typer.Exit(1)
    unread = not decode and any(len(item.kinds) for item in found.values())
    print("no faults; images and videos were not decoded: --decode reads them whole" if unread else "no faults")


def _read(
    what: str, overrides: list[str], model: str | None, root: Path | None
) -> tuple[DataRecipe, NeoOVProcessor, MediaOptions]:
    """Return the data of a recipe or of files, with the processor and media options to read it."""
    subject = data_look.read(what, overrides, model, root)
    from pixelword.data.sources import media_options

    if not subject.data.sources:
        raise RecipeError(f"{what}: its tasks are drawn as they are needed; there are no files to read")
    data = subject.data
    if subject.recipe is not None and subject.recipe.validation is not None:
        # include the validation sources
        data = data.model_copy(update={"sources": {**subject.recipe.validation.sources, **data.sources}})
    return data, subject.processor, media_options(data)


def _cores(workers: int | None) -> int:
    return (os.cpu_count() or 1) if workers is None else workers


def _summarize(found: dict[str, Index]) -> None:
    """Print one row per source that could be opened."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from pixelword.data.index import VIDEO

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("source")
    for name in ("samples", "faults", "text tokens", "supervised", "images", "videos"):
        table.add_column(name, justify="right")
    for name, item in found.items():
        videos = int((item.kinds == VIDEO).sum())
        numbers = (
            len(item),
            len(item.faults),
            int(item.text_tokens.sum(dtype="int64")),
            int(item.answer_tokens.sum(dtype="int64")),
            len(item.kinds) - videos,
            videos,
        )
        table.add_row(name, *(f"{number:,}" for number in numbers))
    if found:
        Console(highlight=False).print(table)

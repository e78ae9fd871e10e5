"""`pixelword data stats` and `pixelword data view`: samples and packs as numbers and as a page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pixelword.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from pixelword.data.stats import Histogram, PacksReport, Report, Spread
    from pixelword.training.subject import Subject

What = Annotated[
    str,
    typer.Argument(metavar="RECIPE|FILES", help="A stage's YAML file, or sample files: train.jsonl, '{000..031}.tar'."),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a field: --set data.length=4096 (repeatable).")]
Processor = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar=options.MODEL, help="Use this model's tokenizer and settings instead of model.from's."
    ),
]
Root = Annotated[
    Path | None, typer.Option(help="FILES: base folder of relative image paths (default: the files' folder).")
]
Step = Annotated[int, typer.Option(min=0, help="RECIPE: start at this training step.")]


def stats(
    what: What,
    set_: Set = None,
    model: Processor = None,
    root: Root = None,
    step: Step = 0,
    packs: Annotated[int, typer.Option(min=1, help="RECIPE: number of packs to measure padding on.")] = 8,
    samples: Annotated[
        int, typer.Option(min=1, help="Samples per kind of synthetic task; files are always counted in full.")
    ] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print statistics per source (tokens, answers, image sizes), and the padding of the packs.

    unused: faulty or too long samples. learnt: supervised tokens. visual: share of visual tokens. kept: share of the
    image area left after resizing.

    Example: pixelword data stats recipes/nano/sft.yaml --model nano
    """
    subject = read(what, set_ or [], model, root)
    _index(subject)
    from pixelword.training.survey import survey

    with options.progress(f"measuring {what} …"):
        found = survey(subject, step).report(samples, packs)
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        _print(what, found)


def view(
    what: What,
    set_: Set = None,
    model: Processor = None,
    root: Root = None,
    step: Step = 0,
    packs: Annotated[int, typer.Option(min=0, help="RECIPE: number of packs to show.")] = 2,
    samples: Annotated[int, typer.Option(min=0, help="Number of samples to show per source.")] = 3,
    out: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("view.html"),
) -> None:
    """Write an HTML page of packs and samples as the model sees them: patches, tokens, labels, loss weights, mask.

    The page is self-contained; a pack's images make it a few megabytes large.

    Example: pixelword data view recipes/nano/sft.yaml --model nano --out view.html

    Example: pixelword data view train.jsonl --samples 20
    """
    subject = read(what, set_ or [], model, root)
    from pixelword.data.view import write_page
    from pixelword.training.survey import survey

    if packs:
        _index(subject)
    with options.progress(f"drawing {what} …"):
        sheets = survey(subject, step).sheets(samples, packs)
        size = write_page(out, what, _facts(subject, step), sheets, subject.processor)
    print(f"{out}: {size / 1e6:.1f} MB; open it in a browser")


def read(what: str, overrides: list[str], model: str | None, root: Path | None) -> Subject:
    """Open the recipe or files that a `data` command works on."""
    with options.progress(f"opening {what} …"), options.quiet_imports():
        from pixelword.training.named_data import named_data

        named = named_data(what, overrides, model=model, root=root)  # before torch is imported

        from pixelword.training.subject import open_subject

        return open_subject(named)


def _index(subject: Subject) -> None:
    """Build missing indexes, which may take a while."""
    from pixelword.data.indexing import open_indexes
    from pixelword.data.progress import bar

    if subject.data.sources:
        with bar("indexing") as shown:
            open_indexes(subject.data, subject.processor, progress=shown)


def _facts(subject: Subject, step: int) -> dict[str, str]:
    recipe = subject.recipe
    if recipe is None:
        return {"files": ", ".join(source.path for source in subject.data.sources.values())}
    return {"stage": recipe.stage, "step": f"{step:,} of {recipe.steps:,}", "loss weight": recipe.loss_weight}


def _print(title: str, found: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"{title}: median (10th – 90th percentile)", style="bold", markup=False, soft_wrap=True)
    console.print(_samples_table(found))
    if any(item.pictures.total for item in found.sources):
        console.print("\nimages and frames", style="bold")
        console.print(_pictures_table(found))
    console.print("\ntokens of a sample", style="bold")
    console.print(_lengths_table([source.lengths for source in found.sources]))
    if found.packs is not None:
        console.print("\npacks", style="bold")
        console.print(_packs_table(found.packs))


def _samples_table(found: Report) -> Table:
    from pixelword.training.live import sparkline

    return _table(
        {
            "source": source.name,
            "share": f"{source.weight:.0%}",
            "samples": f"{source.samples:,}",
            "unused": f"{source.faults + source.left_out:,}" if source.faults + source.left_out else "",
            "tokens": _spread(source.tokens),
            "most": f"{source.tokens.most:,.0f}",
            "lengths": sparkline(source.lengths.counts) if len(found.sources) > 1 else "",
            "learnt": _spread(source.answers),
        }
        for source in found.sources
    )


def _pictures_table(found: Report) -> Table:
    return _table(
        {
            "source": source.name,
            "per sample": f"{source.pictures.mean:.2f}",
            "videos": f"{source.videos:,}" if source.videos else "",
            "visual": f"{source.visual_share:.0%}",
            "width": _spread(source.width),
            "height": _spread(source.height),
            "kept": "" if source.kept is None else f"{source.kept:.0%}",
            "commonest": "{}×{} {:.0%}".format(*source.sizes[0][:2], source.sizes[0][2] / source.pictures.total),
        }
        for source in found.sources
        if source.pictures.total
    )


def _lengths_table(histograms: list[Histogram]) -> Table:
    """A histogram over all sources, one bar per bin."""
    from rich.bar import Bar
    from rich.table import Table

    edges = histograms[0].edges
    counts = [sum(histogram.counts[bin_] for histogram in histograms) for bin_ in range(len(edges) - 1)]
    table = Table.grid(padding=(0, 1))
    for column in range(3):
        table.add_column(justify="right" if column != 1 else "left")
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        table.add_row(f"{low:,} – {high - 1:,}", Bar(max(counts), 0, count, width=40, color="cyan"), f"{count:,}")
    return table


def _packs_table(packs: PacksReport) -> Table:
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "measured": f"{packs.packs:,}, with room for {packs.room:,} tokens",
        "tokens per pack": _spread(packs.tokens),
        "padding": f"{packs.padding:.1%}",
        "documents per pack": _spread(packs.documents),
        "visible pairs per pack": _spread(packs.pairs),
        "costliest over mean": f"{packs.uneven:.2f}",
    }
    if packs.faults:
        rows["could not be read"] = f"{packs.faults:,} samples"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _table(rows: Iterable[dict[str, str]]) -> Table:
    """One column per key, without columns that are empty in every row; numbers right-aligned."""
    from rich import box
    from rich.table import Table

    listed = list(rows)
    names = [name for name in (listed[0] if listed else ()) if any(row[name] for row in listed)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        justify: Literal["left", "right"] = "left" if name in ("source", "lengths", "commonest") else "right"
        table.add_column(name, justify=justify, min_width=min(8, max(len(row[name]) for row in listed)))
    for row in listed:
        table.add_row(*(row[name] for name in names))
    return table


def _spread(values: Spread) -> str:
    """The median, and the 10th and 90th percentile."""
    if values.low == values.high:
        return f"{values.median:,.0f}"
    return f"{values.median:,.0f} ({values.low:,.0f}–{values.high:,.0f})"

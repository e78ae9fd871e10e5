"""`pixelword data stats RECIPE` and `pixelword data view RECIPE`: what a stage's data looks like."""

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
    from pixelword.training.survey import DrawnSurvey

What = Annotated[Path, typer.Argument(metavar="RECIPE", help="A stage's YAML file.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a field: --set data.length=4096 (repeatable).")]
Processor = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME|DIR", help="Read with its tokenizer and settings, not model.from's."),
]
Step = Annotated[int, typer.Option(min=0, help="Look at what this step of the stage reads, and the steps after it.")]


def stats(
    what: What,
    set_: Set = None,
    model: Processor = None,
    step: Step = 0,
    packs: Annotated[int, typer.Option(min=1, help="Packs to measure the padding of.")] = 8,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each kind of drawn tasks; files count whole.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tokens, answers, pictures and their sizes, source by source, and the padding of the packs they make.

    Example: pixelword data stats recipes/nano/sft.yaml --model nano
    """
    with options.progress(f"measuring {what} …"), options.quiet_imports():
        found = _survey(what, set_ or [], model, step).report(samples, packs)
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        _print(str(what), found)


def view(
    what: What,
    set_: Set = None,
    model: Processor = None,
    step: Step = 0,
    packs: Annotated[int, typer.Option(min=0, help="How many packs to show.")] = 2,
    samples: Annotated[int, typer.Option(min=0, help="How many samples of each source to show.")] = 3,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("view.html"),
) -> None:
    """A page of packs and samples as the model sees them: patches, tokens, labels, loss weights, mask.

    One HTML file that needs no network; a pack's pictures make it some megabytes large.

    Example: pixelword data view recipes/nano/sft.yaml --model nano --out view.html
    """
    with options.progress(f"reading {what} …"), options.quiet_imports():
        from pixelword.data.view import write_page

        survey = _survey(what, set_ or [], model, step)
        recipe = survey.recipe
        facts = {"stage": recipe.stage, "step": f"{step:,} of {recipe.steps:,}", "loss weight": recipe.loss_weight}
        size = write_page(out, str(what), facts, survey.sheets(samples, packs), survey.processor)
    print(f"{out}: {size / 1e6:.1f} MB; open it in a browser")


def _survey(path: Path, overrides: list[str], model: str | None, step: int) -> DrawnSurvey:
    from pixelword.training.building import build_processor
    from pixelword.training.recipe_file import load_recipe
    from pixelword.training.survey import DrawnSurvey

    recipe = load_recipe(path, overrides)
    if model is None:
        return DrawnSurvey(recipe, build_processor(recipe), step)
    from pixelword.model.checkpoint import resolve
    from pixelword.processing import NeoOVProcessor

    return DrawnSurvey(recipe, NeoOVProcessor.from_pretrained(resolve(model)), step)


def _print(title: str, found: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"{title}: median (10 % lie below – 10 % above)", style="bold", markup=False, soft_wrap=True)
    console.print(_samples_table(found))
    if any(one.pictures.total for one in found.sources):
        console.print("\npictures", style="bold")
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
            "source": one.name,
            "share": f"{one.weight:.0%}",
            "samples": f"{one.samples:,}",
            "faults": f"{one.faults:,}" if one.faults else "",
            "tokens": _spread(one.tokens),
            "longest": f"{one.tokens.most:,.0f}",
            "lengths": sparkline(one.lengths.counts),
            "learnt": _spread(one.answers),
            "visual": f"{one.visual_share:.0%}",
        }
        for one in found.sources
    )


def _pictures_table(found: Report) -> Table:
    return _table(
        {
            "source": one.name,
            "in one": f"{one.pictures.mean:.2f}",
            "videos": f"{one.videos:,}" if one.videos else "",
            "width": _spread(one.width),
            "height": _spread(one.height),
            "kept": "" if one.kept is None else f"{one.kept:.0%}",
            "commonest": ", ".join(
                f"{width}×{height} {count / one.pictures.total:.0%}" for width, height, count in one.sizes[:2]
            ),
        }
        for one in found.sources
        if one.pictures.total
    )


def _lengths_table(histograms: list[Histogram]) -> Table:
    """All sources together, a bar a bin."""
    from rich.bar import Bar
    from rich.table import Table

    edges = histograms[0].edges
    counts = [sum(one.counts[bin_] for one in histograms) for bin_ in range(len(edges) - 1)]
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
        "tokens in one": _spread(packs.tokens),
        "padding": f"{packs.padding:.1%}",
        "documents in one": _spread(packs.documents),
        "visible pairs in one": _spread(packs.pairs),
        "costliest over mean": f"{packs.uneven:.2f}",
    }
    if packs.faults:
        rows["could not be read"] = f"{packs.faults:,} samples"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _table(rows: Iterable[dict[str, str]]) -> Table:
    """A column a key, but for those that are empty in every row; numbers to the right."""
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
    """The median, and what 10 % lie below and above."""
    if values.least == values.most:
        return f"{values.median:,.0f}"
    return f"{values.median:,.0f} ({values.low:,.0f}–{values.high:,.0f})"

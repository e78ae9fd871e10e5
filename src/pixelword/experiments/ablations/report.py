"""An ablation's table, plot and verdicts: on a terminal, and between the marks of a page of the documentation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelword.evaluation.marked import Section
from pixelword.experiments.ablations.jobs import Cell, jobs_of
from pixelword.experiments.ablations.summary import Difference, Judged, Row, Summary, summary

#: Columns that fit on a terminal.
_SHOWN = 6

__all__ = ["plan", "show", "summary", "write"]


def plan(found: Sequence[Cell]) -> Iterator[str]:
    """What would be run, in order; stages that variants share are trained with the first of them."""
    for cell in found:
        stages = ", then ".join(f"{job.recipe.stage} ({job.recipe.steps} steps)" for job in cell.job.chain)
        yield f"{'done' if cell.result.exists() else 'to do'}  {cell}: {stages}"
    every = list(jobs_of(found))
    left = [job for job in every if not job.facts.exists()]
    yield f"{len(every)} stages in all, {len(left)} to train: {sum(job.recipe.steps for job in left):,} steps"


def columns(told: Summary) -> list[str]:
    return ["variant", "right", "95 %", "by seed", "blank", "paper", *told.kinds, "loss", "parameters", "minutes"]


def cells(told: Summary, row: Row) -> list[str]:
    """The columns of a variant."""
    spread = told.spread()
    paper = row.variant.paper
    return [
        row.variant.name,
        _percent(row.mean),
        "–" if spread is None else f"±{100 * spread.half(len(row.figures)):.1f}",
        ", ".join(f"{100 * share:.1f}" for share in row.shares),
        _percent(row.of("blank")),
        "–" if paper is None else f"{paper:g}",
        *(_percent(row.kind(kind)) for kind in told.kinds),
        f"{row.of('loss'):.3f}",
        f"{row.of('parameters') / 1e6:.2f}M",
        f"{row.of('seconds') / 60:.1f}",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def show(told: Summary) -> None:
    """Print it for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if told.rows:
        table = Table(*columns(told)[:_SHOWN], title=told.ablation.asks, title_justify="left")
        for row in told.rows:
            table.add_row(*cells(told, row)[:_SHOWN])
        console.print(table)
    for line in readings(told):
        console.print(line, markup=False, soft_wrap=True)


def readings(told: Summary) -> Iterator[str]:
    """A line on each finding, and one on what was not run."""
    for one in told.judged:
        yield f"{one.finding.says}: {_reading(one)}"
    if told.left:
        yield f"not run: {', '.join(told.left)}"


def _reading(one: Judged) -> str:
    if one.right is None or one.loss is None:
        return one.verdict
    return f"{one.verdict} ({_told(one.right, 100, 1, ' points')}; loss {_told(one.loss, 1, 3)})"


def _told(one: Difference, scale: int, digits: int, unit: str = "") -> str:
    """A difference with its interval, as many digits after the point."""
    value, low, high = (f"{scale * bound:+.{digits}f}" for bound in (one.value, one.low, one.high))
    if math.isinf(one.low):
        return f"{value}{unit}, one seed: no interval"
    return f"{value}{unit}, 95 % {low} to {high}"


def markdown(told: Summary, command: str, picture: str) -> str:
    """The section of a page: question, table, plot, findings."""
    ablation = told.ablation
    lines = [f"**{ablation.asks}** Cost: {ablation.cost}", "", "```sh", command, "```", ""]
    if not told.rows:
        return "\n".join([*lines, f"Not run: {', '.join(told.left)}."])
    names = columns(told)
    lines += [f"| {' | '.join(names)} |", "|---|" + "---:|" * (len(names) - 1)]
    lines += [f"| {' | '.join(cells(told, row))} |" for row in told.rows]
    lines += ["", f"{told.questions:,} held-out questions a seed; {_spread(told)}."]
    lines += ["", f"![{ablation.asks}]({picture}.svg)", ""]
    if ablation.curve:
        lines += [f"![Held-out loss of {ablation.curve} as the last stage goes]({picture}-curve.svg)", ""]
    lines += [f"- {line[0].upper()}{line[1:]}." for line in readings(told)]
    return "\n".join(lines + (["", f"The paper's figures: {ablation.paper}"] if ablation.paper else []))


def _spread(told: Summary) -> str:
    """Where the intervals come from."""
    spread = told.spread()
    if spread is None:
        return "one seed each: no interval"
    points = f"{100 * spread.deviation:.1f} points"
    freedom = f"{spread.freedom} degrees of freedom"
    return f"intervals from the spread between seeds, {points}, pooled over the variants ({freedom})"


def write(page: Path, file: Path, told: Summary) -> None:
    """Write an ablation's section anew between its marks in a page, and its plot beside the page.

    Raises InputError: the page cannot be read or written, it has no marks for it, or matplotlib is not there.
    """
    name = told.ablation.name
    picture = f"{page.stem}/{name}"
    section = Section.named(page, name, "--report")
    section.check()
    if told.rows:
        from pixelword.experiments.ablations.plot import draw, draw_curve

        draw(told, page.parent / f"{picture}.svg")
        if told.ablation.curve:
            draw_curve(told, page.parent / f"{picture}-curve.svg")
    section.write(markdown(told, f"pixelword ablate {file}", picture))

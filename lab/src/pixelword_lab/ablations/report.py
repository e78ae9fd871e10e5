"""An ablation's table, plot and verdicts: on a terminal, and between the marks of a page of the documentation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelword.evaluation.markdown_section import Section
from pixelword_lab.ablations.jobs import Cell, jobs_of
from pixelword_lab.ablations.summary import Difference, Judged, Row, Summary, summary

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


def columns(results: Summary) -> list[str]:
    return ["variant", "right", "95 %", "by seed", "blank", "paper", *results.kinds, "loss", "parameters", "minutes"]


def cells(results: Summary, row: Row) -> list[str]:
    """The columns of a variant."""
    spread = results.spread()
    paper = row.variant.paper
    return [
        row.variant.name,
        _percent(row.mean),
        "–" if spread is None else f"±{100 * spread.half(len(row.figures)):.1f}",
        ", ".join(f"{100 * share:.1f}" for share in row.shares),
        _percent(row.of("blank")),
        "–" if paper is None else f"{paper:g}",
        *(_percent(row.kind(kind)) for kind in results.kinds),
        f"{row.of('loss'):.3f}",
        f"{row.of('parameters') / 1e6:.2f}M",
        f"{row.of('seconds') / 60:.1f}",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def show(results: Summary) -> None:
    """Print it for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if results.rows:
        table = Table(*columns(results)[:_SHOWN], title=results.ablation.asks, title_justify="left")
        for row in results.rows:
            table.add_row(*cells(results, row)[:_SHOWN])
        console.print(table)
    for line in readings(results):
        console.print(line, markup=False, soft_wrap=True)


def readings(results: Summary) -> Iterator[str]:
    """A line on each finding, and one on what was not run."""
    for item in results.judged:
        yield f"{item.finding.says}: {_reading(item)}"
    if results.left:
        yield f"not run: {', '.join(results.left)}"


def _reading(judged: Judged) -> str:
    if judged.right is None or judged.loss is None:
        return judged.verdict
    right, loss = _with_interval(judged.right, 100, 1, " points"), _with_interval(judged.loss, 1, 3)
    return f"{judged.verdict} ({right}; loss {loss})"


def _with_interval(difference: Difference, scale: int, digits: int, unit: str = "") -> str:
    """A difference with its interval, as many digits after the point."""
    value, low, high = (f"{scale * bound:+.{digits}f}" for bound in (difference.value, difference.low, difference.high))
    if math.isinf(difference.low):
        return f"{value}{unit}, one seed: no interval"
    return f"{value}{unit}, 95 % {low} to {high}"


def markdown(results: Summary, command: str, picture: str) -> str:
    """The section of a page: question, table, plot, findings."""
    ablation = results.ablation
    lines = [f"**{ablation.asks}** Cost: {ablation.cost}", "", "```sh", command, "```", ""]
    if not results.rows:
        return "\n".join([*lines, f"Not run: {', '.join(results.left)}."])
    names = columns(results)
    lines += [f"| {' | '.join(names)} |", "|---|" + "---:|" * (len(names) - 1)]
    lines += [f"| {' | '.join(cells(results, row))} |" for row in results.rows]
    lines += ["", f"{results.questions:,} held-out questions a seed; {_spread(results)}."]
    lines += ["", f"![{ablation.asks}]({picture}.svg)", ""]
    if ablation.curve:
        lines += [f"![Held-out loss of {ablation.curve} as the last stage goes]({picture}-curve.svg)", ""]
    lines += [f"- {line[0].upper()}{line[1:]}." for line in readings(results)]
    return "\n".join(lines + (["", f"The paper's figures: {ablation.paper}"] if ablation.paper else []))


def _spread(results: Summary) -> str:
    """Where the intervals come from."""
    spread = results.spread()
    if spread is None:
        return "one seed each: no interval"
    points = f"{100 * spread.deviation:.1f} points"
    freedom = f"{spread.freedom} degrees of freedom"
    return f"intervals from the spread between seeds, {points}, pooled over the variants ({freedom})"


def write(page: Path, file: Path, results: Summary) -> None:
    """Rewrite an ablation's section between its marks in a page, and write its plot beside the page.

    Raises InputError: the page cannot be read or written, it has no marks for it, or matplotlib is not there.
    """
    name = results.ablation.name
    picture = f"{page.stem}/{name}"
    section = Section.named(page, name, "--report")
    section.check()
    if results.rows:
        from pixelword_lab.ablations.plot import draw, draw_curve

        draw(results, page.parent / f"{picture}.svg")
        if results.ablation.curve:
            draw_curve(results, page.parent / f"{picture}-curve.svg")
    section.write(markdown(results, f"pixelword ablate {file}", picture))

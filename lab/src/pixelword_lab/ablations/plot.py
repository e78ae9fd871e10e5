"""An ablation as images: each variant's seeds, mean and interval, beside the paper's figures; curves of a stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pixelword.errors import InputError
from pixelword.extras import install_command
from pixelword_lab.ablations.summary import Summary
from pixelword_lab.studies.compare import events

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OWN, _PAPER, _FAINT = "#2b6cb0", "#b7791f", "#a0aec0"
_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#b83280", "#4a5568")


def draw(results: Summary, path: Path) -> None:
    """Means, intervals and seeds as SVG. Raises InputError without matplotlib."""
    papers = any(row.variant.paper is not None for row in results.rows)
    with _figure(path, results.ablation.name, 0.9 + 0.34 * len(results.rows)) as figure:
        axes = figure.subplots(1, 2 if papers else 1, sharey=True, squeeze=False)
        _ours(axes[0, 0], results)
        if papers:
            _theirs(axes[0, 1], results)


def draw_curve(results: Summary, path: Path) -> None:
    """The held-out loss of the ablation's `curve` by step of the last stage, a line a seed. As `draw`."""
    with _figure(path, results.ablation.name, 2.8) as figure:
        axes = figure.subplots()
        for number, row in enumerate(results.rows):
            for place, cell in enumerate(row.cells):
                read = [event for event in events(cell.job.folder) if event["event"] == "validation"]
                points = [(item["step"], item["losses"][results.ablation.curve]) for item in read]
                colour = _COLOURS[number % len(_COLOURS)]
                axes.plot(*zip(*points, strict=True), color=colour, label=None if place else row.variant.name)
        axes.set_xlabel("step of the last stage")
        axes.set_ylabel(f"held-out loss, {results.ablation.curve}")
        axes.legend(frameon=False)
        _plain(axes)


@contextmanager
def _figure(path: Path, name: str, height: float) -> Iterator[Figure]:
    """A figure that is written when it is done; the same figures give the same file."""
    try:
        import matplotlib
    except ImportError as error:
        raise InputError(f"plots need matplotlib: {install_command('tasks', of='pixelword-lab')}") from error
    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"svg.hashsalt": name, "font.size": 9}):
        figure = plt.figure(figsize=(7.2, height), layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None}, facecolor="white")
        plt.close(figure)


def _ours(axes: Axes, results: Summary) -> None:
    spread = results.spread()
    for place, row in enumerate(results.rows):
        if spread is not None:
            half = spread.half(len(row.figures))
            axes.errorbar(100 * row.mean, place, xerr=100 * half, color=_OWN, capsize=3, linewidth=1.4)
        axes.plot([100 * share for share in row.shares], [place] * len(row.shares), "|", color=_FAINT, markersize=9)
        axes.plot(100 * row.mean, place, "o", color=_OWN, markersize=5)
    axes.set_yticks(range(len(results.rows)), [row.variant.name for row in results.rows])
    axes.set_ylim(len(results.rows) - 0.5, -0.5)
    axes.set_xlabel("% of held-out questions right\n(dot: mean, bar: 95 %, ticks: seeds)")
    _plain(axes)


def _theirs(axes: Axes, results: Summary) -> None:
    for place, row in enumerate(results.rows):
        if row.variant.paper is not None:
            axes.plot(row.variant.paper, place, "D", color=_PAPER, markersize=5)
    axes.set_xlabel("the paper's figure")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)

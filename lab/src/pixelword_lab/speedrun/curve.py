"""A speedrun as an image: training loss and exact answers to held-out questions, by the time used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixelword_lab.speedrun.rules import digest
from pixelword_lab.speedrun.running import Plan, State
from pixelword_lab.studies.compare import events

_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#b83280", "#4a5568")


def draw(plan: Plan, path: Path) -> None:
    """Write the curves of all seeds as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.8), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for seed in range(plan.seeds):
        curve = list(points(plan, seed))
        colour = _COLOURS[seed % len(_COLOURS)]
        left.plot(*_series(curve, "loss"), color=colour, linewidth=0.8, label=f"seed {seed}")
        right.plot(*_series(curve, "exact"), "o-", color=colour, markersize=3)
    left.set(ylabel="training loss", ylim=(0, None))
    right.set(ylabel="% exact, held out, mean of kinds", ylim=(0, 100))
    left.legend(frameon=False)
    for axes in (left, right):
        axes.set_xlabel(plan.track.clock.replace("_", "-"))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    FigureCanvasAgg(figure).print_png(path)


def points(plan: Plan, seed: int) -> Iterator[dict[str, Any]]:
    """{"time", "loss"} of every report and {"time", "exact"} of every validation, in order.

    Within a stage, time is laid out evenly over its steps.
    """
    folder = plan.folder(seed)
    state, begun = State(folder, digest(plan.stages)), 0.0
    for stage in plan.stages:
        used = getattr(state.used(stage.name), plan.track.clock)
        for event in events(folder / stage.name):
            time = begun + used * event["step"] / stage.recipe.steps
            if event["event"] == "train":
                yield {"time": time, "loss": event["loss"]}
            elif event["event"] == "validation":
                shares = list(event["exact"].values())
                yield {"time": time, "exact": 100 * sum(shares) / len(shares)}
        begun += used


def _series(curve: list[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    own = [item for item in curve if name in item]
    return [item["time"] for item in own], [item[name] for item in own]

"""Draw mini/*.svg from the measurements beside them: python lab/docs/make_mini_curves.py [RUN]

RUN: the folder of a run of stage 1, whose metrics.jsonl becomes mini/stage1.jsonl first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "mini"  # the same file from the same numbers
from matplotlib import pyplot as plt  # noqa: E402

HERE = Path(__file__).parent / "mini"


#: What is kept of an event, by its kind.
KEPT = {
    "train": ("step", "loss", "tokens_per_s", "elapsed"),
    "validation": ("step", "loss", "losses", "exact"),
    "gate": ("step", "perplexity", "against", "excess"),
}


def take(run: Path) -> None:
    """The run's metrics, less what no curve needs."""
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [{key: event[key] for key in ("event", *KEPT[event["event"]])} for event in events if event["event"] in KEPT]
    (HERE / "stage1.jsonl").write_text("".join(json.dumps(item) + "\n" for item in kept))


def overfit() -> None:
    """Loss by step, and the shares answered rightly with the own and with a wrong picture."""
    lines = [json.loads(line) for line in (HERE / "overfit.jsonl").read_text().splitlines()]
    asked = [line for line in lines if "right" in line]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
    left.plot([line["step"] for line in lines], [line["loss"] for line in lines], color="#3366aa")
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    steps = [0, *(line["step"] for line in asked)]
    for key, colour, label in (("right", "#3366aa", "own picture"), ("wrong", "#bb5522", "another's")):
        right.plot(steps, [0, *(100 * line[key] for line in asked)], "o-", color=colour, label=label)
    right.set(xlabel="step", ylabel="% of 32 named", ylim=(-3, 103))
    right.legend(frameon=False, loc="center right")
    finish(figure, (left, right), "overfit")


def stage1() -> None:
    """Loss of training and of held-out families, and the shares of held-out questions answered exactly."""
    lines = [json.loads(line) for line in (HERE / "stage1.jsonl").read_text().splitlines()]
    train, held_out = ([line for line in lines if line["event"] == event] for event in ("train", "validation"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
    left.plot([item["step"] for item in train], [item["loss"] for item in train], color="#999999", label="training")
    for name, colour in (("captions", "#3366aa"), ("scenes", "#bb5522")):
        steps = [item["step"] for item in held_out]
        left.plot(steps, [item["losses"][name] for item in held_out], "o-", color=colour, label=f"{name}, held out")
        right.plot(steps, [100 * item["exact"][name] for item in held_out], "o-", color=colour, label=name)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right.set(xlabel="step", ylabel="% exact, held out", ylim=(0, None))
    left.legend(frameon=False)
    right.legend(frameon=False)
    finish(figure, (left, right), "stage1")


def finish(figure: plt.Figure, both: tuple[plt.Axes, ...], name: str) -> None:
    for axes in both:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    if sys.argv[1:]:
        take(Path(sys.argv[1]))
    overfit()
    stage1()

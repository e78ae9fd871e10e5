"""Draw docs/mini/*.svg from the measurements beside them: python docs/make_mini_curves.py"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "mini"  # the same file from the same numbers
from matplotlib import pyplot as plt  # noqa: E402

HERE = Path(__file__).parent / "mini"


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
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(HERE / "overfit.svg", metadata={"Date": None})


if __name__ == "__main__":
    overfit()

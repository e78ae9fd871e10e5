"""Detects steps to skip: NaN or infinite losses, and loss spikes."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import TYPE_CHECKING, Any

from pixelword.errors import PixelwordError

if TYPE_CHECKING:
    from pixelword.training.recipe import SpikeRecipe

PATIENCE = 3  # steps without a finite loss in a row that end a run whose recipe has no `spike`
LEAST = 0.01  # of the mean: a flat stretch of losses makes no deviation smaller than this


class Spikes:
    """Judges a step by loss and gradient norm; these are equal on all ranks, and so is the verdict."""

    def __init__(self, recipe: SpikeRecipe | None) -> None:
        self.recipe = recipe
        self.losses: deque[float] = deque(maxlen=recipe.window if recipe else 0)
        self.in_a_row = 0

    def reason(self, loss: float, norm: float) -> str | None:
        """Return why to skip the step, or None and add its loss to the window. Counts skipped steps."""
        found = None
        if not (math.isfinite(loss) and math.isfinite(norm)):
            found = f"loss {loss}, gradient norm {norm}"
        elif self.recipe and len(self.losses) == self.losses.maxlen:
            mean = statistics.fmean(self.losses)
            deviation = max(statistics.pstdev(self.losses, mean), LEAST * abs(mean))
            if loss > mean + self.recipe.above * deviation:
                found = f"loss {loss:.4f} is {(loss - mean) / deviation:.1f} deviations above the mean of {mean:.4f}"
        self.in_a_row = self.in_a_row + 1 if found else 0
        if found is None:
            self.losses.append(loss)
        return found

    def check_patience(self, stage: str, step: int) -> None:
        """Raise PixelwordError if too many steps in a row were skipped."""
        patience = self.recipe.patience if self.recipe else PATIENCE
        if self.in_a_row >= patience:
            raise PixelwordError(
                f"{stage}: {patience} steps in a row up to step {step} were skipped for their loss; the last whole "
                "checkpoint stands: resume from it with a lower optimizer.lr or a longer schedule.warmup, or look at "
                "the samples that metrics.jsonl names under 'skipped'"
            )

    def restart(self) -> None:
        """Clear the window, when the data changes and losses do not compare."""
        self.losses.clear()

    def state_dict(self) -> dict[str, Any]:
        return {"losses": list(self.losses), "in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses.extend(state["losses"])
        self.in_a_row = state["in_a_row"]

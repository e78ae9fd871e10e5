"""Leave to read late, which only a measurement gives."""

from __future__ import annotations

from dataclasses import dataclass

from pixelword.errors import InputError


@dataclass(frozen=True)
class LateReading:
    """Leave to read late, from a measurement on the model at hand (`pixelword.explain.probe.allow_late_reading`).

    Attributes:
        changed: Share of answers that it changes.
        high: Upper end of that share's 95 % interval.
        questions: How many were asked.
        bound: Share of answers that may change.
        image_bytes: Memory for images' states after the pre-buffer.

    Raises:
        InputError: more answers may change than the bound allows.
    """

    changed: float
    high: float
    questions: int
    bound: float = 0.02
    image_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        if self.high > self.bound:
            raise InputError(
                f"late reading changes {self.changed:.1%} of this model's answers (up to {self.high:.1%}, on "
                f"{self.questions:,} questions), and {self.bound:.1%} may change: read as usual, raise the bound, or "
                "measure on more questions"
            )

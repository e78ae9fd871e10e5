"""Which compression a request wants, as data and as text: "question:0.25", "merge:0.5:input"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from pixelword.errors import InputError
from pixelword.generation.compression.compressor import VisualCompressor
from pixelword.generation.compression.methods import METHODS

#: Where tokens are dropped: before the first layer; after the pre-buffer; from the cache, before the question is read.
Stage = Literal["input", "pre-buffer", "cache"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Compression:
    """Compression of a prompt's visual tokens.

    Attributes:
        method: A name in `METHODS`, or "own" with `compressor`.
        share: Share of the visual tokens that stays, above 0 and up to 1; every image keeps one token at least.
        stage: Where: "input" saves most, "pre-buffer" (the default) lets the pre-buffer see everything, "cache" reads
            the images in full and then drops their keys and values, before the question is read.
        seed: Of "random".
        compressor: One's own, in place of a method's.

    Raises:
        InputError: no such method or stage, a share out of range, or a method that the stage does not allow.
    """

    method: str
    share: float = 1.0
    stage: Stage = "pre-buffer"
    seed: int = 0
    compressor: VisualCompressor | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.compressor is None and self.method not in METHODS:
            raise InputError(f"unknown compression {self.method!r}: choose from {', '.join(METHODS)}")
        if self.stage not in STAGES:
            raise InputError(f"unknown compression stage {self.stage!r}: choose from {', '.join(STAGES)}")
        if not 0 < self.share <= 1:
            raise InputError(f"compression keeps a share of {self.share}; give one above 0 and up to 1")
        if self.method == "question" and self.stage == "input":
            raise InputError("question-led compression needs attention: use the stage pre-buffer or cache")
        if self.method == "merge" and self.stage == "cache":
            raise InputError("merge needs states that are not keys yet: use the stage input or pre-buffer")

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is to be done: the plain path, to the bit."""
        return self.share == 1 and self.compressor is None

    @classmethod
    def parse(cls, text: str) -> Compression:
        """Read METHOD:SHARE or METHOD:SHARE:STAGE. Raises InputError."""
        method, _, rest = text.partition(":")
        share, _, stage = rest.partition(":")
        try:
            number = float(share)
        except ValueError:
            raise InputError(f"compression is {text!r}; write METHOD:SHARE, such as question:0.25") from None
        return cls(method, number, cast(Stage, stage or "pre-buffer"))

    def made(self) -> VisualCompressor:
        """The compressor."""
        return self.compressor or METHODS[self.method](self.share, self.seed)

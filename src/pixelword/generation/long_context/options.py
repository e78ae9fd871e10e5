"""Options for inputs larger than a model was trained on, independent of each other; off by default."""

from __future__ import annotations

from dataclasses import dataclass

from pixelword.errors import InputError
from pixelword.generation.compression.options import Compression


@dataclass(frozen=True)
class LongInputs:
    """How large images and long videos are read. (Which frames are shown: `MediaOptions.frame_budget`.)

    crops: of an image larger than `max_pixels`, this many parts, chosen by a first pass, are shown at full size beside
        the whole; 0 for none.
    kept_frames: of a video, the frames whose keys and values are kept, those that the question attends to most; None
        for all.
    compression: of the visual tokens of every image and frame; see `docs/compression.md`.
    """

    crops: int = 0
    kept_frames: int | None = None
    compression: Compression | None = None

    def __post_init__(self) -> None:
        if self.crops < 0:
            raise InputError(f"crops is {self.crops}; give 0 (none) or above")
        if self.kept_frames is not None and self.kept_frames < 2:
            raise InputError(f"kept_frames is {self.kept_frames}; give at least 2, the first and the newest")
        if self.kept_frames is not None and self.compression is not None:
            raise InputError("kept_frames and compression both drop visual tokens: give one of them")


def parse_compression(text: str) -> tuple[LongInputs, int | None]:
    """Read the text of `--compress`: a method of `Compression`, "frames:N" (`kept_frames`) or "frame-budget:N".

    Returns the options, and the frame budget where it is that. Raises InputError.
    """
    method, _, number = text.partition(":")
    if method not in ("frames", "frame-budget"):
        return LongInputs(compression=Compression.parse(text)), None
    if not number.isdigit() or int(number) < 1:
        raise InputError(f"compression is {text!r}; write {method}:N, such as {method}:32")
    return (LongInputs(kept_frames=int(number)), None) if method == "frames" else (LongInputs(), int(number))

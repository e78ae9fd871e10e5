"""What may be done with inputs larger than a model was taught with, each for itself; by default nothing is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pixelword.errors import InputError

OldFrames = Literal["drop", "merge"]


@dataclass(frozen=True)
class LongInputs:
    """How large pictures and long videos are read. (Which frames are shown: `MediaOptions.frame_budget`.)

    crops: of a picture larger than `max_pixels`, so many parts that a first pass looks at are shown at full size beside
        the whole; 0 for none.
    kept_frames: of a video, the frames whose keys and values are kept, those that the question looks at; None for all.
    old_frames: what becomes of the others, "drop", or "merge" into the frame before.
    """

    crops: int = 0
    kept_frames: int | None = None
    old_frames: OldFrames = "drop"

    def __post_init__(self) -> None:
        if self.crops < 0:
            raise InputError(f"crops is {self.crops}; give 0 (none) or above")
        if self.kept_frames is not None and self.kept_frames < 2:
            raise InputError(f"kept_frames is {self.kept_frames}; give at least 2, the first and the newest")
        if self.old_frames not in get_args(OldFrames):
            raise InputError(f"old_frames is {self.old_frames!r}; use drop or merge")

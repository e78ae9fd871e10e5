"""Options for inputs larger than a model was trained on, independent of each other; off by default."""

from __future__ import annotations

from dataclasses import dataclass

from pixelword.errors import InputError


@dataclass(frozen=True)
class LongInputs:
    """How large images and long videos are read. (Which frames are shown: `MediaOptions.frame_budget`.)

    crops: of an image larger than `max_pixels`, this many parts, chosen by a first pass, are shown at full size beside
        the whole; 0 for none.
    kept_frames: of a video, the frames whose keys and values are kept, those that the question attends to most; None
        for all.
    """

    crops: int = 0
    kept_frames: int | None = None

    def __post_init__(self) -> None:
        if self.crops < 0:
            raise InputError(f"crops is {self.crops}; give 0 (none) or above")
        if self.kept_frames is not None and self.kept_frames < 2:
            raise InputError(f"kept_frames is {self.kept_frames}; give at least 2, the first and the newest")

"""The data that cases and ports exchange."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: A run of visual tokens in a prompt, however long.
VISUAL_RUN = re.compile(r"(<IMG_CONTEXT>)+")


@dataclass(frozen=True)
class Inputs:
    """One sequence, prepared.

    Attributes:
        input_ids: (L,) int64, the id of `<IMG_CONTEXT>` at visual tokens.
        pixel_values: (patches, 768) float32, 16 x 16 patches row-major, channel-first, images one after another.
        grid_hw: (images, 2) int64, patches along height and width; a video frame is an image.
        starts: first tokens of the packed documents; (0,) for a plain sequence.
    """

    input_ids: Array
    pixel_values: Array = field(default_factory=lambda: np.zeros((0, 768), np.float32))
    grid_hw: Array = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    starts: tuple[int, ...] = (0,)

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def image_tokens(self) -> list[int]:
        """Visual tokens of each image."""
        return [int(h * w) // 4 for h, w in self.grid_hw]

    def then(self, more: Inputs) -> Inputs:
        """This sequence with another one after it, as one document."""
        return Inputs(
            np.concatenate((self.input_ids, more.input_ids)),
            np.concatenate((self.pixel_values, more.pixel_values)),
            np.concatenate((self.grid_hw, more.grid_hw)),
        )

    def pieces(self, cuts: tuple[int, ...], context_id: int) -> list[Inputs]:
        """The sequence cut at `cuts`, each piece with its own images.

        Raises:
            ValueError: a cut is inside an image.
        """
        visual = np.flatnonzero(self.input_ids == context_id)[: sum(self.image_tokens)]
        ends = np.cumsum(self.image_tokens, dtype=np.int64)
        found, patch, image = [], 0, 0
        for start, stop in zip((0, *cuts), (*cuts, len(self)), strict=True):
            first_patch, first_image = patch, image
            while image < len(ends) and visual[ends[image] - 1] < stop:
                patch += int(self.grid_hw[image].prod())
                image += 1
            if image < len(ends) and visual[ends[image] - self.image_tokens[image]] < stop:
                raise ValueError(f"the cut at {stop} is inside an image")
            own = slice(first_image, image)
            found.append(Inputs(self.input_ids[start:stop], self.pixel_values[first_patch:patch], self.grid_hw[own]))
        return found


@dataclass(frozen=True)
class Tolerance:
    """How far from the golden values is equal.

    Attributes:
        relative: Largest error of one token's logits or one visual token's embedding, as the norm of the difference
            over the norm of the golden vector.
        margin: A greedy token may differ where the golden first and second choice are closer than this.
        logprob: Largest error of a chosen token's log probability.
        pixel: Largest mean error of a prepared image, in normalized units.
    """

    relative: float
    margin: float
    logprob: float
    pixel: float


TOLERANCES = {
    "float32": Tolerance(2e-4, 2e-3, 2e-3, 1e-4),
    "bfloat16": Tolerance(5e-2, 0.3, 0.3, 5e-3),
    "int8": Tolerance(8e-2, 0.5, 0.5, 5e-3),
}


class NotOffered(Exception):
    """The port has no such function, or the server returns no such value; the check is skipped with this reason."""

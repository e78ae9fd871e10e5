"""Frame budget: keep the frames of a video between which something changes.

Evenly spread frames spend as much on a still hour as on the second in which everything happens. Here the frames that
would be shown are candidates, and as many as the budget allows are kept, evenly spread over change instead of time.
Each keeps its own timestamp, so the prompt keeps the released format.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pixelword.errors import InputError
from pixelword.processing.videos import Video

#: Sides of the small copies that are compared.
_SIDE = 32
#: Of 255: what the eye of a codec or a sensor changes by itself.
_NOISE = 4.0
#: Share of the budget that time itself gets, so that a long stillness is seen, too.
_TIME_SHARE = 0.1
#: Candidates for each frame of the budget, where a call does not say how many frames to look at.
CANDIDATES = 8


def spend(video: Video, budget: int | None) -> Video:
    """Reduce a video to at most `budget` frames, including the first and last; without a budget, return it unchanged.

    Raises InputError if the budget is below 1.
    """
    if budget is None:
        return video
    if budget < 1:
        raise InputError(f"frame_budget is {budget}; give a number above 0")
    if len(video.frames) <= budget:
        return video
    return video.only(chosen(changes(video.frames), budget))


def changes(frames: Sequence[Image.Image]) -> np.ndarray:
    """Mean difference of each frame from the previous one, on small copies, minus noise: (frames - 1,)."""
    small = np.stack([np.asarray(_small(frame), np.float32) for frame in frames])
    differences = np.abs(np.diff(small, axis=0))
    return np.maximum(differences - _NOISE, 0).mean((1, 2, 3))


def _small(frame: Image.Image) -> Image.Image:
    return frame.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)


def chosen(change: np.ndarray, budget: int) -> list[int]:
    """Pick `budget` of len(change) + 1 frames, evenly spread over cumulative change; ascending indices.

    A step counts for at most one frame's share: a cut needs the frames on its two sides and no more.
    """
    count = len(change) + 1
    if budget == 1:
        return [0]
    steps = _even_share(change, budget - 1)
    total = steps.sum()
    time = np.full(count - 1, (total or 1.0) / (count - 1))
    way = np.concatenate(([0.0], (steps * (1 - _TIME_SHARE) + time * _TIME_SHARE).cumsum()))
    wanted = np.linspace(0.0, way[-1], budget)
    kept: list[int] = []
    for number, point in enumerate(wanted):
        # each has a frame of its own: not one that is taken, nor one that leaves too few for those to come
        low = kept[-1] + 1 if kept else 0
        nearest = int(np.abs(way - point).argmin())
        kept.append(min(max(nearest, low), count - (budget - number)))
    return kept


def _even_share(change: np.ndarray, shares: int) -> np.ndarray:
    """Clip the largest steps of `change` to one share of the total."""
    for _ in range(8):  # cutting lowers the whole, and so the share
        most = change.sum() / shares
        if not (change > most * 1.01).any():
            break
        change = np.minimum(change, most)
    return change

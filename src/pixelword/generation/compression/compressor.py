"""The interface of a compressor: which visual tokens stay, and from which states they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor


class Kept(NamedTuple):
    """What stays of a prompt's n visual tokens.

    indices: (k,) int64, ascending; what stays keeps its position (t, h, w).
    weights: (k, n) float, how each of them is made of all states (rows sum to 1); None: the states stay as they are.
    """

    indices: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Prompt:
    """What a compressor knows of a prompt besides its visual tokens.

    question: (m, hidden_size) states of the text after the last image, at the stage of the compression.
    attention: (n,) float32, how much of its attention that text gives to each visual token; None before the model,
        where there is no attention yet.
    """

    question: Tensor
    attention: Tensor | None


class VisualCompressor(Protocol):
    """Chooses visual tokens. It holds nothing of a prompt, so it may serve several requests."""

    def keep(self, grid: Tensor, states: Tensor, prompt: Prompt) -> Kept:
        """Choose what stays of a prompt's visual tokens.

        Args:
            grid: (images, 2) int64, visual tokens along height and width of each image or frame.
            states: (n, hidden_size) of all visual tokens, images one after another, row-major.
            prompt: The rest.
        """
        ...

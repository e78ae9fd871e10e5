"""Detects photographs by brightness alone, cheap enough to run on every image."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from pixelword.errors import DomainWarning

_BINS = 64
_RANGE = (-2.2, 2.7)  # of normalized pixels, black to white
#: Bits per pixel of the histogram of brightness. Drawn images of nano's tasks stay below 3.4 (99 of 100), sheets of
#: text and screens too; photographs have 4.8 and more (three of four).
PHOTOGRAPHIC = 4.2


def brightness_entropy(pixel_values: Tensor) -> float:
    """Entropy of the brightness histogram in bits, 0 to 6.

    pixel_values: (patches, 3 * side * side), normalised by the processor, channel-first.
    """
    brightness = pixel_values.float().unflatten(1, (3, -1)).mean(1)
    counts = torch.histc(brightness, _BINS, *_RANGE)
    shares = counts / counts.sum().clamp(min=1)
    return float(-(shares * shares.clamp(min=1e-12).log2()).sum())


def looks_photographic(pixel_values: Tensor) -> bool:
    """Whether the brightness is distributed as in a photograph; drawn shapes and text have few shades."""
    return pixel_values.numel() > 0 and brightness_entropy(pixel_values) > PHOTOGRAPHIC


def warn_of_photograph(pixel_values: Tensor) -> bool:
    """Warn if the pixels look like a photograph, for models trained without any; return whether it did."""
    if photograph := looks_photographic(pixel_values):
        text = "this looks like a photograph; the packaged model was trained on drawn images and text alone"
        warnings.warn(text, DomainWarning, stacklevel=2)
    return photograph

"""Initial values for training from scratch, where random ones learn slowly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration

# luminance, red against green, blue against yellow: nearly uncorrelated in images
_COLOURS = ((1.0, 1.0, 1.0), (1.0, -1.0, 0.0), (1.0, 1.0, -2.0))
_LUMINANCE = 0.6  # share of the filters that see luminance; the rest are halved between the colours
_GAIN = 0.25  # so that the filters' answers to images have a spread of about one


def cosine_filters(count: int, side: int) -> Tensor:
    """(count, 3, side, side) float32: the lowest waves of a 2-D cosine transform, for luminance and two colours.

    An image's amplitude falls about as 1 / frequency; each filter is weighed against that, so that the answers of all
    have about the same spread (whitened, as the first convolution is in Coates and Ng 2012 and in airbench, arXiv
    2404.00498).

    Raises ValueError: more filters than there are waves.
    """
    if not 3 <= count <= side * side:
        raise ValueError(f"{count} cosine filters of {side} x {side}: from 3 to {side * side} are possible")
    place = torch.arange(side, dtype=torch.float64) + 0.5
    waves = torch.stack(
        [torch.cos(math.pi * place * f / side) / math.sqrt(side / (1 if f == 0 else 2)) for f in range(side)]
    )
    frequencies = sorted(((u, v) for u in range(side) for v in range(side)), key=lambda uv: (math.hypot(*uv), uv))
    colour = (count - int(count * _LUMINANCE)) // 2
    filters = []
    for weights, number in zip(_COLOURS, (count - 2 * colour, colour, colour), strict=True):
        direction = torch.tensor(weights, dtype=torch.float64)
        direction = direction / direction.norm()
        for u, v in frequencies[:number]:
            gain = _GAIN * (1 + math.hypot(u, v))
            filters.append(gain * direction[:, None, None] * waves[u][:, None] * waves[v])
    return torch.stack(filters).float()


@torch.no_grad()
def set_cosine_patches(model: NeoOVForConditionalGeneration) -> None:
    """Initialise the patch embedding's first convolution with `cosine_filters`."""
    weight = model.vision_model.embeddings.patch_embedding.weight
    weight.copy_(cosine_filters(weight.shape[0], weight.shape[-1]))

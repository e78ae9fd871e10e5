"""Pixels to visual tokens: two convolutions with kernel = stride, so two matrix products, and a 2-D rotation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration import NeoOVVisionConfig


class PatchProjection(nn.Conv2d):
    """A convolution whose kernel equals its stride, applied to patches that are already cut out and flattened.

    Its parameters are a `Conv2d`'s, (out, in, k, k) and (out,), as released; input (patches, in * k * k), channel-
    first, output (patches, out).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=kernel_size)

    def forward(self, patches: Tensor) -> Tensor:
        return F.linear(patches, self.weight.flatten(1), self.bias)


def merged_patch_index(grid_hw: Tensor, merge: int) -> tuple[Tensor, Tensor]:
    """Where each visual token's patches are in the released (row-major) patch order.

    Args:
        grid_hw: (images, 2) int64, patches along height and width; both are multiples of `merge`.
        merge: patches along one side of a visual token.

    Returns:
        index: (tokens, merge * merge) int64 rows of `pixel_values`, tokens and their patches in row-major order.
        xy: (tokens, merge * merge, 2) int64, each patch's own (x, y) in its image.
    """
    image, row, column = token_coordinates(grid_hw // merge)
    patches = grid_hw.prod(-1)
    first = patches.cumsum(0) - patches
    offset = torch.arange(merge, device=grid_hw.device)
    y = (row * merge)[:, None, None] + offset[:, None]
    x = (column * merge)[:, None, None] + offset[None, :]
    y, x = (c.expand(-1, merge, merge).flatten(1) for c in (y, x))
    width = grid_hw[image, 1]
    index = first[image][:, None] + y * width[:, None] + x
    return index, torch.stack((x, y), -1)


def token_coordinates(token_hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Image number, row and column, each (tokens,) int64, of all cells of grids `token_hw` (images, 2), row-major."""
    count = token_hw.prod(-1)
    image = torch.repeat_interleave(torch.arange(len(token_hw), device=token_hw.device), count)
    within = torch.arange(image.numel(), device=token_hw.device) - (count.cumsum(0) - count)[image]
    width = token_hw[image, 1]
    return image, within // width, within % width


class PatchEmbedding(nn.Module):
    """`pixel_values` to visual tokens: convolution 16, GELU, rotation by place, convolution 2 (NEO, section 3.1)."""

    def __init__(self, config: NeoOVVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.merge = config.merge_size
        self.patch_embedding = PatchProjection(config.num_channels, config.hidden_size, config.patch_size)
        self.dense_embedding = PatchProjection(config.hidden_size, config.llm_hidden_size, self.merge)

    def rotate(self, hidden: Tensor, xy: Tensor) -> Tensor:
        """Rotate channel pairs (0, 1), (2, 3), …: the first half of the channels by x, the second by y, in float32.

        hidden: (tokens, patches, channels); xy: (tokens, patches, 2).
        """
        quarter = self.config.hidden_size // 4
        exponent = torch.arange(quarter, dtype=torch.float32, device=hidden.device) / quarter
        frequency = self.config.rope_theta_vision**-exponent
        angle = (xy[..., None].float() * frequency).flatten(-2)  # (tokens, patches, channels / 2): x's, then y's
        cos, sin = angle.cos(), angle.sin()
        even, odd = hidden.float().unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1)
        return turned.flatten(-2).to(hidden.dtype)

    def forward(self, pixel_values: Tensor, image_grid_hw: Tensor) -> Tensor:
        """Embed the patches of any number of images of any sizes at once, without padding.

        Args:
            pixel_values: (patches, channels * patch_size ** 2), images one after another, patches row-major.
            image_grid_hw: (images, 2) int64, patches along height and width of each image.

        Returns:
            (sum of h * w / merge ** 2, llm_hidden_size): visual tokens, row-major in each image.
        """
        index, xy = merged_patch_index(image_grid_hw.to(pixel_values.device), self.merge)
        hidden = F.gelu(self.patch_embedding(pixel_values.to(self.patch_embedding.weight.dtype)))
        hidden = self.rotate(hidden[index], xy)
        return self.dense_embedding(hidden.transpose(1, 2).flatten(1))

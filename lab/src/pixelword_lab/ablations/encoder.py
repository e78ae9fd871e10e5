"""A modular model's eyes: a small vision transformer and a projector in front of the same language part.

Its layers have the pre-buffer's shape and number, so that both have as many parameters. It reads patches of 16 pixels,
four for each visual token, sees each image whole, and turns by row and column (as Qwen2-VL's does).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pixelword.model import NeoOVConfig
from pixelword.model.masks import interval
from pixelword.model.network import Layer, PatchProjection, RMSNorm, merged_patch_index
from pixelword.model.rope import rotary_tables, token_coordinates


class PictureEncoder(nn.Module):
    """Takes `PatchEmbedding`'s place: the same arguments, the same visual tokens."""

    def __init__(self, config: NeoOVConfig, layers: int) -> None:
        super().__init__()
        vision, text = config.vision_config, copy.deepcopy(config.llm_config)
        text._attn_implementation = "sdpa"  # rows of patches are long
        self.config, self.merge, self.text = vision, vision.merge_size, text
        size = text.hidden_size
        self.patch_embedding = PatchProjection(vision.num_channels, size, vision.patch_size)
        self.layers = nn.ModuleList(Layer(text, i) for i in range(layers))
        self.norm = RMSNorm(size, text.rms_norm_eps)
        self.project_in = nn.Linear(size * self.merge**2, size)
        self.project_out = nn.Linear(size, size)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=text.initializer_range)
        for part in (self.patch_embedding, self.project_in, self.project_out):
            assert part.bias is not None
            nn.init.zeros_(part.bias)

    def forward(self, pixel_values: Tensor, image_grid_hw: Tensor, clips: Tensor | None = None) -> Tensor:
        """Visual tokens of any number of images.

        Args:
            pixel_values: (patches, channels * patch_size ** 2), images one after another, patches row-major.
            image_grid_hw: (images, 2) int64, patches along height and width.
            clips: (images,) int64 ascending, the clip of each; images of one clip see each other. None: no two do.

        Returns:
            (sum of h * w / merge ** 2, llm_hidden_size), row-major in each image.
        """
        grids = image_grid_hw.to(pixel_values.device)
        kind = self.patch_embedding.weight.dtype
        hidden = self.patch_embedding(pixel_values.to(kind)).to(kind)  # goes from layer to layer as the words' do
        if len(grids):
            hidden = self._read(hidden.unsqueeze(0), grids, clips)
        index, _ = merged_patch_index(grids, self.merge)
        hidden = self.norm(hidden)[index].flatten(1)
        return self.project_out(F.gelu(self.project_in(hidden)))

    def _read(self, hidden: Tensor, grids: Tensor, clips: Tensor | None) -> Tensor:
        """The layers, over all images in one row: (1, patches, size) -> (patches, size)."""
        picture, row, column = token_coordinates(grids)
        number = torch.arange(len(grids), device=grids.device)
        clip = number if clips is None else clips.to(grids.device)
        first = torch.ones_like(clip, dtype=torch.bool)
        first[1:] = clip[1:] != clip[:-1]
        begin = torch.where(first, number, 0).cummax(0).values  # of each image, its clip's first image
        t = (number - begin)[picture]
        places = torch.stack((t, t + row, t + column)).unsqueeze(1)
        ends = grids.prod(-1).cumsum(0)
        bounds = torch.cat((ends.new_zeros(1), ends[:-1][first[1:]], ends[-1:]))
        visible = interval(torch.zeros_like(places), cu_seqlens=bounds)  # one t: a clip sees itself whole
        text = self.text
        rotary = rotary_tables(places, text.head_dim, text.rope_theta, text.rope_theta_hw, hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, rotary, visible)
        return hidden[0]

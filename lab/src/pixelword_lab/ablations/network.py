"""The variants of the network: what an image sees of itself, positions, eyes; the released network's code has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pixelword.errors import RecipeError
from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.model.masks import interval
from pixelword.training.building import build_model
from pixelword_lab.ablations.encoder import PictureEncoder
from pixelword_lab.ablations.positions import PlacedDecoder, indices
from pixelword_lab.ablations.recipe import Network

if TYPE_CHECKING:
    from pixelword.processing.processor import NeoOVProcessor
    from pixelword.training.recipe import Recipe


class VariantModel(NeoOVForConditionalGeneration):
    """The network with a variant's parts, for training and for reading whole sequences; it does not generate."""

    _decoder = PlacedDecoder

    def __init__(self, config: NeoOVConfig, variant: Network) -> None:
        super().__init__(config)
        self.variant = variant
        decoder = self.language_model.model
        assert isinstance(decoder, PlacedDecoder)
        decoder.way = variant.positions
        if variant.encoder != "none":
            self.vision_model.embeddings = PictureEncoder(config, variant.encoder_layers)

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor,
        *,
        pixel_values: Tensor | None = None,
        image_grid_hw: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Whole sequences, as `NeoOVForConditionalGeneration.forward` reads them, without a cache."""
        seen = self.visual_mask(input_ids, mm_token_type_ids)
        assert seen is not None
        visual = torch.zeros_like(seen) if image_grid_hw is None else seen
        native, _ = self.get_rope_index(input_ids, image_grid_hw, None, mm_token_type_ids, cu_seqlens)
        line = indices("line", native, visual, cu_seqlens)
        visible = interval(native if self.variant.mask == "mixed" else line, None, cu_seqlens)
        if self.variant.encoder == "clip" and pixel_values is not None and image_grid_hw is not None:
            clips = clip_numbers(input_ids, mm_token_type_ids, native[0], cu_seqlens, visual)
            words = self.get_input_embeddings()(input_ids)
            features = self.vision_model.embeddings(pixel_values, image_grid_hw, clips).to(words.dtype)
            embeds = words.masked_scatter(visual.unsqueeze(-1), features)
        else:
            embeds = self._embed(input_ids, None, pixel_values, image_grid_hw, mm_token_type_ids)
        return super().forward(
            inputs_embeds=embeds,
            mm_token_type_ids=visual.long(),
            position_ids=indices(self.variant.positions, native, visual, cu_seqlens),
            visible=visible,
            cu_seqlens=cu_seqlens,
            use_cache=False,
            **kwargs,
        )


def clip_numbers(
    input_ids: Tensor, types: Tensor | None, t: Tensor, cu_seqlens: Tensor | None, visual: Tensor
) -> Tensor:
    """(images,) int64 ascending: the frames of one document are of one clip, an image is one by itself.

    types: (B, L), 1 at images, 2 at frames; None for no frames. t: (B, L), equal in an image and in no two that
    follow each other.
    """
    kinds = (types if types is not None else visual.long()).flatten()
    place = visual.flatten().nonzero().squeeze(1)
    flat = t.flatten()[place]
    first = torch.ones_like(place, dtype=torch.bool)
    first[1:] = (flat[1:] != flat[:-1]) | (place[1:] != place[:-1] + 1)
    starts = place[first]  # the first token of each image
    length = input_ids.shape[1]
    bounds = cu_seqlens.to(place.device).long() if cu_seqlens is not None else None
    document = starts // length if bounds is None else torch.searchsorted(bounds, starts, right=True)
    new = torch.ones_like(starts, dtype=torch.bool)
    new[1:] = (document[1:] != document[:-1]) | (kinds[starts[1:]] != 2) | (kinds[starts[:-1]] != 2)
    return new.long().cumsum(0) - 1


def build(variant: Network, recipe: Recipe, processor: NeoOVProcessor) -> NeoOVForConditionalGeneration:
    """The variant's network in float32: from the stage before, or with random weights.

    Raises RecipeError: eyes of its own after another stage, whose checkpoint has none.
    """
    plain = build_model(recipe, processor)
    if variant.plain:
        return plain
    if recipe.model.from_ is not None and variant.encoder != "none":
        raise RecipeError("network.encoder begins with random weights: give such a variant one stage")
    model = VariantModel(plain.config, variant).float()
    if variant.encoder == "none":
        model.load_state_dict(plain.state_dict())
    return model

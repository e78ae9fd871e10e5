"""Visual tokens: which places of a sequence they take, what they hold, and where they stand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from pixelword.compat import check_unknown

from .config import NeoOVConfig
from .rope import rope_index


def single_grid(image_grid_hw: Tensor | None, image_grid_thw: Tensor | None) -> Tensor | None:
    """(images, 2) from either: Qwen's (images, 3) grid, the name that training libraries use, counts frames first.

    Raises:
        ValueError: both are given.
    """
    if image_grid_thw is None:
        return image_grid_hw
    if image_grid_hw is not None:
        raise ValueError("image_grid_hw and image_grid_thw describe the same images: pass one of them")
    return image_grid_thw[:, 1:].repeat_interleave(image_grid_thw[:, 0], 0)


class VisualTokens:
    """The part of `NeoOVModel` for images; `config` and `vision_model` are the model's."""

    config: NeoOVConfig
    vision_model: Any

    def get_image_features(
        self, pixel_values: Tensor, image_grid_hw: Tensor, return_dict: bool | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Visual tokens of each image, as the sequence holds them.

        Args:
            pixel_values: (patches, 768) float.
            image_grid_hw: (images, 2) int64.
            return_dict: False for a tuple in place of the output.
            kwargs: what transformers passes to every model and changes nothing here.

        Returns:
            last_hidden_state: (tokens, hidden_size) of all images; pooler_output: a tuple of (h * w / 4, hidden_size),
            one per image.
        """
        check_unknown(kwargs)
        self._check_images(pixel_values, image_grid_hw)
        visual = self.vision_model.embeddings(pixel_values, image_grid_hw)
        images = visual.split((image_grid_hw.prod(-1) // self._patches_per_token).tolist())
        result = BaseModelOutputWithPooling(last_hidden_state=visual, pooler_output=images)
        return result if self._returns_dict(return_dict) else result.to_tuple()

    def get_video_features(self, *args: Any, **kwargs: Any) -> BaseModelOutputWithPooling:
        """As `get_image_features`: each frame of a video is an image."""
        return self.get_image_features(*args, **kwargs)

    def _returns_dict(self, return_dict: bool | None) -> bool:
        return self.config.return_dict if return_dict is None else return_dict

    @property
    def _patches_per_token(self) -> int:
        return self.config.vision_config.merge_size**2

    def _check_images(self, pixel_values: Tensor, image_grid_hw: Tensor) -> None:
        merge, patches = self.config.vision_config.merge_size, int(image_grid_hw.prod(-1).sum())
        if bool((image_grid_hw % merge).any()):
            raise ValueError(f"image_grid_hw {image_grid_hw.tolist()} must be multiples of {merge} patches")
        if patches != len(pixel_values):
            raise ValueError(
                f"pixel_values has {len(pixel_values)} patches but image_grid_hw {image_grid_hw.tolist()} describes "
                f"{patches}"
            )

    def _check_visual(self, visual: Tensor, image_grid_hw: Tensor) -> None:
        found, expected = int(visual.sum()), int(image_grid_hw.prod(-1).sum()) // self._patches_per_token
        if found != expected:
            raise ValueError(
                f"the sequences hold {found} visual tokens but image_grid_hw {image_grid_hw.tolist()} describes "
                f"{expected}; was the prompt cut, or prepared with other pixel limits?"
            )

    def _check_no_visual(self, visual: Tensor) -> None:
        if torch.compiler.is_compiling():  # a graph cannot count them
            torch._assert_async(~visual.any(), "the sequences hold visual tokens but no images")
            return
        if found := int(visual.sum()):
            raise ValueError(
                f"the sequences hold {found} visual tokens but no images: pass pixel_values and image_grid_hw too, as "
                "the processor returns them"
            )

    def _image_places(self, visual: Tensor, image_grid_hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Row, first column and column past the last of each image: (n,) each.

        Args:
            visual: (B, L) bool, as many places as `image_grid_hw` (n, 2) describes.
        """
        tokens = image_grid_hw.prod(-1) // self._patches_per_token
        ends, places = tokens.cumsum(0), visual.flatten().nonzero().squeeze(1).to(image_grid_hw.device)
        first, last = places[ends - tokens], places[ends - 1]
        length = visual.shape[1]
        return first // length, first % length, last % length + 1

    def visual_mask(self, input_ids: Tensor | None, mm_token_type_ids: Tensor | None) -> Tensor | None:
        """(B, L) bool: the places of visual tokens, from the types where given, else from `img_context_token_id`."""
        if mm_token_type_ids is not None:
            return mm_token_type_ids != 0
        return None if input_ids is None else input_ids == self.config.img_context_token_id

    def get_rope_index(
        self,
        input_ids: Tensor | None = None,
        image_grid_hw: Tensor | None = None,
        attention_mask: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor]:
        """Native-RoPE indices of whole sequences; `forward`'s other arguments may be passed and are not looked at.

        Returns:
            position_ids: (3, B, L), rows (t, t + h, t + w).
            delta: (B, 1), max t + 1 - L: what to add to a cache's length to go on.

        Raises:
            ValueError: the visual tokens in the sequences are not those that `image_grid_hw` describes.
        """
        visual, token_hw = self.visual_mask(input_ids, mm_token_type_ids), None
        if visual is None:
            raise ValueError("get_rope_index needs input_ids or mm_token_type_ids")
        if image_grid_hw is None:
            self._check_no_visual(visual)
        else:
            self._check_visual(visual, image_grid_hw)
            token_hw = image_grid_hw.to(visual.device) // self.config.vision_config.merge_size
        positions = rope_index(visual, token_hw, attention_mask, cu_seqlens)
        return positions, positions[0].amax(1, keepdim=True) + 1 - visual.shape[1]

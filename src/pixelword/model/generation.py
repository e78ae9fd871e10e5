"""What `generate` must know of three-axis positions and of pictures: transformers' hooks, filled in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache, GenerationMixin
from transformers.cache_utils import Cache

from pixelword.compat import CACHE_KEYWORD, with_cache_keyword

from .cache import GrowingCache

_PICTURES = ("pixel_values", "image_grid_hw")


class NeoOVGenerationMixin(GenerationMixin):
    """All state of a request is in `generate`'s own arguments and cache, so that interleaved requests never meet."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """transformers' `generate`; a cache may be passed as `cache` or as `past_key_values`, whatever the release."""
        return super().generate(*args, **with_cache_keyword(kwargs))

    @staticmethod
    def create_masks_for_generate(attention_mask: Tensor | None = None, **_: Any) -> Tensor | None:
        """Keep the (B, L) mask for static caches too: the interval needs no more, and no 4-D causal mask is right."""
        return attention_mask

    def _prepare_cache_for_generation(self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any) -> None:
        """Where transformers makes a plain dynamic cache, make the one that writes in place."""
        given = model_kwargs.get(CACHE_KEYWORD)
        super()._prepare_cache_for_generation(generation_config, model_kwargs, *args)
        made = model_kwargs.get(CACHE_KEYWORD)
        if given is None and made is not None and type(made) is DynamicCache and not made.offloading:
            model_kwargs[CACHE_KEYWORD] = GrowingCache(self.config)

    def _prepare_position_ids_for_generation(self, inputs_tensor: Tensor, model_kwargs: dict[str, Any]) -> Tensor:
        """(3, B, L) indices of the whole prompt; later tokens go on from the last t."""
        ids = model_kwargs.get("input_ids")
        if ids is None or ids.shape[1] == 0:
            ids = inputs_tensor
        mask = model_kwargs.get("attention_mask")
        if ids.ndim == 3:
            ids = ids[..., 0].long()  # inputs_embeds: only the shape is read, visual places come from the types
        longer = _length(model_kwargs) > 0 if mask is None else mask.shape[1] > ids.shape[1]
        if longer:
            # Only the new tokens were given: go on from the cache.
            cache = model_kwargs[CACHE_KEYWORD]
            fresh, _ = self.get_rope_index(ids, model_kwargs.get("image_grid_hw"))
            return fresh + cache.get_seq_length() + getattr(cache, "rope_delta", 0)
        grid, types = model_kwargs.get("image_grid_hw"), model_kwargs.get("mm_token_type_ids")
        return self.get_rope_index(ids, grid, mask, types)[0]

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor | None = None,  # by name: `generate` takes embeddings only where it finds this one
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Pictures go in once, with the tokens that stand for them."""
        kwargs = with_cache_keyword(kwargs)
        if not is_first_iteration and kwargs.get("use_cache", True):
            kwargs.update(dict.fromkeys(_PICTURES))
        types = kwargs.get("mm_token_type_ids")
        if types is not None and types.shape[1] < input_ids.shape[1]:  # assisted decoding's candidates, which are text
            kwargs["mm_token_type_ids"] = F.pad(types, (0, input_ids.shape[1] - types.shape[1]))
        inputs = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        if inputs.get("mm_token_type_ids") is not None:  # transformers 5.16 leaves them as long as the prompt
            new = inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
            inputs["mm_token_type_ids"] = inputs["mm_token_type_ids"][:, -new.shape[1] :]
        if inputs.get("pixel_values") is None:
            return {key: value for key, value in inputs.items() if key not in _PICTURES}
        return self._only_new_pictures(inputs)

    def _only_new_pictures(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Leave out the pictures whose tokens a cached prefix already holds."""
        grid, ids = inputs["image_grid_hw"], inputs.get("input_ids")
        visual = self.visual_mask(ids, inputs.get("mm_token_type_ids"))
        if visual is None or visual.shape[0] != 1:
            return inputs
        patches = grid.prod(-1)
        wanted = int(visual.sum()) * self._patches_per_token
        if wanted == int(patches.sum()):
            return inputs
        behind = patches.flip(0).cumsum(0)
        kept = int((behind <= wanted).sum())
        if wanted and (kept == 0 or int(behind[kept - 1]) != wanted):
            raise ValueError(
                "a cached prefix ends inside a picture of this prompt; let it end before or after the picture"
            )
        inputs["image_grid_hw"] = grid[len(grid) - kept :] if kept else None
        inputs["pixel_values"] = inputs["pixel_values"][len(inputs["pixel_values"]) - wanted :] if kept else None
        return inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Repeat each row for beams or several answers, its pictures and (3, B, L) positions with it."""
        held: dict[str, Any] = {}
        if expand_size > 1:
            held = {name: model_kwargs.pop(name, None) for name in (*_PICTURES, "position_ids")}
            shaped = input_ids if input_ids is not None else model_kwargs.get("input_ids")
            if held["pixel_values"] is not None:
                visual = self.visual_mask(shaped, model_kwargs.get("mm_token_type_ids"))
                held.update(_repeat_pictures(held, visual.sum(1) * self._patches_per_token, expand_size))
            if held["position_ids"] is not None:
                held["position_ids"] = held["position_ids"].repeat_interleave(expand_size, -2)
        input_ids, model_kwargs = super()._expand_inputs_for_generation(
            expand_size, is_encoder_decoder, input_ids, **model_kwargs
        )
        model_kwargs.update({name: value for name, value in held.items() if value is not None})
        return input_ids, model_kwargs

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict:
        """A generated token is text: its three rows are equal, also right after a visual token."""
        model_kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)
        positions = model_kwargs.get("position_ids")
        if positions is not None and positions.ndim == 3:
            new = kwargs.get("num_new_tokens", 1)
            positions[1:, :, positions.shape[-1] - new :] = positions[:1, :, positions.shape[-1] - new :]
        return model_kwargs

    @torch.no_grad()
    def prefill(self, inputs: dict[str, Tensor], cache: Cache, chunk_size: int) -> Any:
        """Read a prompt of one row in chunks of about `chunk_size` tokens, so that peak memory follows the chunk.

        A chunk never ends inside an image: it grows to the image's end. The result equals one forward over the whole.

        Args:
            inputs: what the processor made: input_ids (1, L), pixel_values, image_grid_hw, …; no padding.
            cache: an empty cache, filled on return.
            chunk_size: tokens.

        Returns:
            the last chunk's output, whose last logits are the next token's.
        """
        ids, grid, pixels = (inputs.get(name) for name in ("input_ids", "image_grid_hw", "pixel_values"))
        if ids is None or ids.shape[0] != 1 or chunk_size < 1:
            raise ValueError("prefill needs input_ids of one row and a chunk_size of at least 1")
        if (grid is None) != (pixels is None) or cache.get_seq_length():
            raise ValueError("prefill needs both of pixel_values and image_grid_hw, or neither, and an empty cache")
        types = inputs.get("mm_token_type_ids")
        positions, _ = self.get_rope_index(ids, grid, None, types)
        t = positions[0, 0]
        visual = self.visual_mask(ids, types)[0]
        a, patch, image, output = 0, 0, 0, None
        while a < ids.shape[1]:
            b = min(a + chunk_size, ids.shape[1])
            while b < ids.shape[1] and t[b] == t[b - 1]:
                b += 1
            part: dict[str, Any] = {"input_ids": ids[:, a:b], "position_ids": positions[:, :, a:b]}
            if (
                grid is not None
                and pixels is not None
                and (patches := int(visual[a:b].sum()) * self._patches_per_token)
            ):
                count = int((grid[image:].prod(-1).cumsum(0) <= patches).sum())
                part |= {"image_grid_hw": grid[image : image + count], "pixel_values": pixels[patch : patch + patches]}
                part["mm_token_type_ids"] = types[:, a:b] if types is not None else None
                image, patch = image + count, patch + patches
            output = self(**part, cache=cache, use_cache=True, logits_to_keep=1)
            a = b
        return output


def _length(model_kwargs: dict[str, Any]) -> int:
    cache = model_kwargs.get(CACHE_KEYWORD)
    return int(cache.get_seq_length()) if isinstance(cache, Cache) else 0


def _repeat_pictures(pictures: dict[str, Any], patches_per_row: Tensor, times: int) -> dict[str, Tensor]:
    """Pictures of each row `times` over: the patches of row 0, row 0, …, row 1, …, and their grids."""
    pixels, grid = pictures["pixel_values"], pictures["image_grid_hw"]
    ends = grid.prod(-1).cumsum(0)
    row_end = patches_per_row.cumsum(0)
    images_end = torch.searchsorted(ends, row_end.to(ends.device), right=True)
    images = torch.diff(images_end, prepend=images_end.new_zeros(1)).tolist()
    return {
        "pixel_values": torch.cat([x for x in pixels.split(patches_per_row.tolist()) for _ in range(times)]),
        "image_grid_hw": torch.cat([x for x in grid.split(images) for _ in range(times)]),
    }

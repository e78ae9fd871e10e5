"""Three-axis positions and images for `generate`, through transformers' hooks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache, GenerationMixin
from transformers.cache_utils import Cache

from pixelword.compat import CACHE_KEYWORD, with_cache_keyword

from .kv_cache import GrowingCache
from .visual_tokens import single_grid

_PICTURES = ("pixel_values", "image_grid_hw")


class NeoOVGenerationMixin(GenerationMixin):
    """All state of a request is in `generate`'s own arguments and cache, so that interleaved requests never meet."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """transformers' `generate`; a cache may be passed as `cache` or as `past_key_values`, whatever the release, and
        `image_grid_hw` as `image_grid_thw`."""
        grid = single_grid(kwargs.pop("image_grid_hw", None), kwargs.pop("image_grid_thw", None))
        if grid is not None:
            kwargs["image_grid_hw"] = grid
        return super().generate(*args, **with_cache_keyword(kwargs))

    def generate_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Refused, as is all of transformers' continuous batching: its paged attention is causal, ours is not.

        Raises:
            NotImplementedError: always, with what to use instead.
        """
        raise NotImplementedError(
            "NEO-ov has no paged attention, so transformers' continuous batching would answer wrongly: use generate() "
            "with a padded batch, or `pixelword serve`, which batches requests continuously"
        )

    init_continuous_batching = continuous_batching_context_manager = generate_batch

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
        """(3, B, L) indices of the whole prompt; later tokens go on from the last t.

        On a filled cache images need not be passed again: what is cached is not looked at then.
        """
        ids = model_kwargs.get("input_ids")
        if ids is None or ids.shape[1] == 0:
            ids = inputs_tensor
        grid, mask = model_kwargs.get("image_grid_hw"), model_kwargs.get("attention_mask")
        visual, past = self._visual_places(ids, model_kwargs.get("mm_token_type_ids")), _length(model_kwargs)
        only_new = past > 0 if mask is None else mask.shape[1] > ids.shape[1]
        described = 0 if grid is None else int(grid.prod(-1).sum()) // self._patches_per_token
        types = visual.long()
        if not past or (not only_new and int(visual.sum()) == described):
            return self.get_rope_index(None, grid, mask, types)[0]
        delta = getattr(model_kwargs[CACHE_KEYWORD], "rope_delta", 0)
        start = 0 if only_new else past
        if isinstance(delta, int) and bool(visual[:, :start].any()):
            raise ValueError("the cache has no image positions: pass image_grid_hw of the whole prompt")
        mask = None if mask is None else mask[:, past:]
        new, _ = self.get_rope_index(None, grid, mask, types[:, start:])
        return F.pad(new + past + delta, (start, 0))

    def _visual_places(self, tokens: Tensor, types: Tensor | None) -> Tensor:
        """(B, L) bool of ids (B, L) or embeddings (B, L, hidden_size); types of another length end with the tokens'
        prompt, or reach back before them."""
        if types is None:
            if tokens.ndim == 3:  # embeddings hold no ids
                return torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
            return tokens == self.config.img_context_token_id
        length = tokens.shape[1]
        return F.pad(types, (0, max(length - types.shape[1], 0)))[:, -length:] != 0

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor | None = None,  # by name: `generate` takes embeddings only where it finds this one
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Images go in once, with the tokens that stand for them."""
        kwargs = with_cache_keyword(kwargs)
        if not is_first_iteration and kwargs.get("use_cache", True):
            kwargs.update(dict.fromkeys(_PICTURES))
        types = kwargs.get("mm_token_type_ids")
        if types is not None and types.shape[1] < input_ids.shape[1]:  # assisted decoding's candidates, which are text
            kwargs["mm_token_type_ids"] = F.pad(types, (0, input_ids.shape[1] - types.shape[1]))
        inputs = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        embedded = inputs.get("inputs_embeds") is not None
        new = inputs["inputs_embeds"] if embedded else inputs["input_ids"]
        if inputs.get("mm_token_type_ids") is not None:  # transformers 5.16 leaves them as long as the prompt
            inputs["mm_token_type_ids"] = inputs["mm_token_type_ids"][:, -new.shape[1] :]
        if inputs.get("pixel_values") is None:
            # Embeddings may hold their images already; then the grid says so.
            left_out = ("pixel_values",) if embedded else _PICTURES
            return {key: value for key, value in inputs.items() if key not in left_out}
        if inputs.get("image_grid_hw") is not None:
            whole = inputs_embeds if embedded and inputs_embeds is not None else input_ids
            visual = self._visual_places(whole, kwargs.get("mm_token_type_ids"))
            if int(inputs["image_grid_hw"].prod(-1).sum()) == int(visual.sum()) * self._patches_per_token:
                inputs.update(self._images_within(inputs, visual, whole.shape[1] - new.shape[1], whole.shape[1]))
        return inputs

    def _images_within(self, inputs: dict[str, Any], visual: Tensor, start: int, stop: int) -> dict[str, Tensor | None]:
        """`pixel_values` and `image_grid_hw` of the images whose tokens are in columns [start, stop) of any row.

        Raises:
            ValueError: start or stop is inside an image.
        """
        pixels, grid = inputs["pixel_values"], inputs["image_grid_hw"]
        _, first, end = self._image_places(visual, grid)
        inside = (first >= start) & (end <= stop)
        if bool((~inside & (first < stop) & (end > start)).any()):
            raise ValueError(
                "a cached prefix ends inside an image of this prompt; let it end before or after the image"
            )
        if not bool(inside.any()):
            return dict.fromkeys(_PICTURES)
        return {"pixel_values": pixels[inside.repeat_interleave(grid.prod(-1))], "image_grid_hw": grid[inside]}

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Repeat each row for beams or several answers, its images and (3, B, L) positions with it."""
        held: dict[str, Any] = {}
        if expand_size > 1:
            held = {name: model_kwargs.pop(name, None) for name in (*_PICTURES, "position_ids")}
            shaped = input_ids if input_ids is not None else model_kwargs.get("input_ids")
            if held["pixel_values"] is not None:
                visual = self.visual_mask(shaped, model_kwargs.get("mm_token_type_ids"))
                self._check_visual(visual, held["image_grid_hw"])
                rows, _, _ = self._image_places(visual, held["image_grid_hw"])
                held.update(_repeat_images(held, rows.bincount(minlength=len(visual)).tolist(), expand_size))
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

    def _prefill(
        self, input_ids: Tensor, generation_config: Any, model_kwargs: dict[str, Any], is_first_iteration: bool = True
    ) -> Any:
        """`prefill_chunk_size` with images, which transformers' own way would cut in two."""
        size = generation_config.prefill_chunk_size
        if size is None or not is_first_iteration or model_kwargs.get("pixel_values") is None:
            return super()._prefill(input_ids, generation_config, model_kwargs, is_first_iteration)
        past, mask = _length(model_kwargs), model_kwargs.get("attention_mask")
        whole = model_kwargs.get("inputs_embeds")
        length = (input_ids if whole is None else whole).shape[1]
        only_new = mask is not None and mask.shape[1] > length
        inputs = self.prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=None if only_new else length - past,
            is_first_iteration=True,
            **model_kwargs,
        )
        return self._read_in_chunks(inputs, size)

    def _read_in_chunks(self, inputs: dict[str, Any], chunk_size: int) -> Any:
        """The last chunk's output of `forward(**inputs)`, read in chunks that grow to the end of an image."""
        key = "input_ids" if inputs.get("inputs_embeds") is None else "inputs_embeds"
        tokens, positions, types = inputs[key], inputs["position_ids"], inputs.get("mm_token_type_ids")
        mask = inputs.get("attention_mask")
        visual, length, a, output = self._visual_places(tokens, types), tokens.shape[1], 0, None
        inner = (visual[:, 1:] & visual[:, :-1] & (positions[0, :, 1:] == positions[0, :, :-1])).any(0).tolist()
        while a < length:
            b = min(a + chunk_size, length)
            while b < length and inner[b - 1]:
                b += 1
            part = {**inputs, key: tokens[:, a:b], "position_ids": positions[..., a:b]}
            if mask is not None:
                part["attention_mask"] = mask[:, : mask.shape[1] - length + b]
            if types is not None:
                part["mm_token_type_ids"] = types[:, a:b]
            if inputs.get("pixel_values") is not None:
                part.update(self._images_within(inputs, visual, a, b))
            output = self(**part)
            a = b
        return output

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
        whole: dict[str, Any] = {name: inputs[name] for name in ("input_ids", *_PICTURES) if name in inputs}
        if inputs.get("mm_token_type_ids") is not None:
            whole["mm_token_type_ids"] = inputs["mm_token_type_ids"]
        whole["position_ids"], _ = self.get_rope_index(ids, grid, None, whole.get("mm_token_type_ids"))
        return self._read_in_chunks({**whole, "cache": cache, "use_cache": True, "logits_to_keep": 1}, chunk_size)


def _length(model_kwargs: dict[str, Any]) -> int:
    cache = model_kwargs.get(CACHE_KEYWORD)
    return int(cache.get_seq_length()) if isinstance(cache, Cache) else 0


def _repeat_images(inputs: dict[str, Any], images: list[int], times: int) -> dict[str, Tensor]:
    """Images of each row `times` over: the patches of row 0, row 0, …, row 1, …, and their grids.

    Args:
        images: How many each row has.
    """
    grids = inputs["image_grid_hw"].split(images)
    pixels = inputs["pixel_values"].split([int(grid.prod(-1).sum()) for grid in grids])
    return {
        "pixel_values": torch.cat([row for row in pixels for _ in range(times)]),
        "image_grid_hw": torch.cat([row for row in grids for _ in range(times)]),
    }

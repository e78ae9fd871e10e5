"""The network as a transformers model: arguments, checks, caches, loss and outputs; the mathematics is `network`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from pixelword.compat import check_unknown, single_cache

from .attention import KERNELS
from .config import NeoOVConfig, NeoOVTextConfig
from .generation import NeoOVGenerationMixin
from .kv_cache import GrowingCache, record_times
from .loss import next_token_loss
from .masks import Interval, check_mask, interval
from .network import Decoder, Layer, PatchEmbedding
from .outputs import NeoOVCausalLMOutput, NeoOVModelOutput
from .visual_tokens import VisualTokens, single_grid


def selected_states(wanted: bool | int | Sequence[int] | None, count: int) -> frozenset[int]:
    """Indices of the hidden states to return, of `count`: all, none, or those named, as in transformers 5.23."""
    if wanted is None or isinstance(wanted, bool):
        return frozenset(range(count)) if wanted else frozenset()
    indices = [wanted] if isinstance(wanted, int) else wanted
    return frozenset(index % count for index in indices if -count <= index < count)


class NeoOVDecoderLayer(GradientCheckpointingLayer, Layer):
    """A layer whose activations transformers' `gradient_checkpointing_enable` can leave out."""


class NeoOVVisionModel(nn.Module):
    """`vision_model` of the released layout: the patch embedding is all there is."""

    def __init__(self, config: NeoOVConfig) -> None:
        super().__init__()
        self.embeddings = PatchEmbedding(config.vision_config)


class NeoOVLanguageModel(nn.Module):
    """`language_model` of the released layout: the stack, and the head where there is one."""

    def __init__(self, config: NeoOVTextConfig, head: bool, decoder: type[Decoder] = Decoder) -> None:
        super().__init__()
        self.model = decoder(config, NeoOVDecoderLayer)
        if head:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)


class NeoOVPreTrainedModel(PreTrainedModel):
    """Settings that transformers reads. Module names are the released checkpoint's, so loading maps nothing."""

    config_class = NeoOVConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    input_modalities = ("image", "video", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["NeoOVDecoderLayer", "PatchEmbedding"]
    _skip_keys_device_placement = ["cache", "past_key_values"]
    _supports_sdpa = True
    _supports_flex_attn = True
    _can_compile_fullgraph = False

    def set_attn_implementation(self, attn_implementation: str | dict[str, str], *args: Any, **kwargs: Any) -> None:
        """Choose the attention kernel: "eager" (the reference), "sdpa" or "flex_attention".

        The parts' configurations get it here: their modules are not `PreTrainedModel`s, and transformers would warn.

        Raises:
            ValueError: unknown kernel.
        """
        wanted = attn_implementation if isinstance(attn_implementation, dict) else {"": attn_implementation}
        for name in wanted.values():
            _check_kernel(name)
        every = wanted.get("", self.config._attn_implementation)
        for key in self.config.sub_configs:
            getattr(self.config, key)._attn_implementation_internal = wanted.get(key, every)
        super().set_attn_implementation(attn_implementation, *args, **kwargs)

    def _check_and_adjust_attn_implementation(self, attn_implementation: str | None, *args: Any, **kwargs: Any) -> str:
        """What transformers asks when a model is made: other kernels than ours are refused before the weights load."""
        if attn_implementation is not None:
            _check_kernel(attn_implementation)
        return super()._check_and_adjust_attn_implementation(attn_implementation, *args, **kwargs)


def _check_kernel(name: str) -> None:
    if name not in KERNELS:
        raise ValueError(f'Specified `attn_implementation="{name}"` is not supported: use one of {", ".join(KERNELS)}')


class NeoOVModel(VisualTokens, NeoOVPreTrainedModel):
    """The network without a head: tokens and patches to last hidden states."""

    _keys_to_ignore_on_load_unexpected = [r"language_model\.lm_head\.weight"]
    _has_head = False
    _decoder = Decoder  # the lab's ablations put another in its place

    def __init__(self, config: NeoOVConfig) -> None:
        super().__init__(config)
        self.vision_model = NeoOVVisionModel(config)
        self.language_model = NeoOVLanguageModel(config.llm_config, self._has_head, self._decoder)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.model.embed_tokens = value  # type: ignore[assignment]

    def get_decoder(self) -> Decoder:
        return self.language_model.model

    def _positions(
        self,
        embeds: Tensor,
        *,
        given: Tensor | None,
        input_ids: Tensor | None,
        image_grid_hw: Tensor | None,
        attention_mask: Tensor | None,
        types: Tensor | None,
        cu_seqlens: Tensor | None,
        cache: Cache | None,
        past: int | Tensor,
    ) -> Tensor:
        """Indices (3, B, L) of this call's tokens; text alone may give them in two dimensions."""
        if given is not None:
            given = given if given.ndim == 3 else given.unsqueeze(0)
            return given.expand(3, embeds.shape[0], -1)
        cached = cache is not None and not (isinstance(past, int) and past == 0)
        if cached and embeds.shape[1] == 1 and image_grid_hw is None:  # a generated token is text, whatever it is
            fresh = torch.zeros(3, len(embeds), 1, dtype=torch.long, device=embeds.device)
        else:
            if types is None and input_ids is None:
                types = torch.zeros(embeds.shape[:2], dtype=torch.long, device=embeds.device)
            mask = attention_mask[:, -embeds.shape[1] :] if attention_mask is not None else None
            fresh, _ = self.get_rope_index(input_ids, image_grid_hw, mask, types, cu_seqlens)
        return fresh + past + getattr(cache, "rope_delta", 0) if cached else fresh

    def _embed(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        pixel_values: Tensor | None,
        image_grid_hw: Tensor | None,
        types: Tensor | None,
    ) -> Tensor:
        """(B, L, hidden_size): words by table, visual tokens from pixels in their places."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        embeds = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        if pixel_values is None:
            if image_grid_hw is not None and inputs_embeds is None:
                raise ValueError("image_grid_hw needs pixel_values: the patches of the images that it describes")
            return embeds
        if image_grid_hw is None:
            raise ValueError(
                "pixel_values need image_grid_hw (images, 2): the patches along height and width of each image"
            )
        visual = self.visual_mask(input_ids, types)
        if visual is None:
            raise ValueError("pixel_values with inputs_embeds need mm_token_type_ids: which places are visual tokens")
        self._check_images(pixel_values, image_grid_hw)
        self._check_visual(visual, image_grid_hw)
        features = self.vision_model.embeddings(pixel_values, image_grid_hw).to(embeds.dtype)
        return embeds.masked_scatter(visual.to(embeds.device).unsqueeze(-1), features.to(embeds.device))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_hw: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        visible: Interval | None = None,
        past_key_values: Cache | None = None,
        image_grid_thw: Tensor | None = None,
        **kwargs: Any,
    ) -> NeoOVModelOutput:
        """Read a batch of sequences.

        Args:
            input_ids: (B, L) int64, with `img_context_token_id` at visual tokens.
            attention_mask: (B, L), or (B, cached + L); zeros only at a row's ends.
            pixel_values: (patches, 768) float, 16 x 16 patches row-major, channel-first, images one after another.
            image_grid_hw: (images, 2) int64, patches along height and width; a video frame is an image.
            mm_token_type_ids: (B, L), 0 text, 1 image, 2 video; by default from the ids.
            position_ids: (3, B, L), rows (t, t + h, t + w); by default from the sequence.
            cache: a cache; a chunk must not end inside an image.
            inputs_embeds: (B, L, hidden_size) instead of `input_ids`.
            cu_seqlens: (documents + 1,) boundaries of packed documents in the flattened (B * L) stream.
            output_hidden_states, output_attentions, return_dict: by default as the configuration says. Indices in place
                of True select hidden states; the others are None. Attention weights are computed with the "eager"
                kernel alone.
            visible: what each token sees; by default from the positions. For a cache whose rows have lengths of their
                own, which brings its own.
            image_grid_thw: (images, 3) in place of `image_grid_hw`: frames, and patches along height and width.
            past_key_values: another name of `cache`, the one that transformers used before 5.24.
            kwargs: what transformers passes to every model and changes nothing here.

        Raises:
            TypeError: a keyword is unknown; none is ignored.
        """
        check_unknown(kwargs)
        cache = single_cache(cache, past_key_values)
        image_grid_hw = single_grid(image_grid_hw, image_grid_thw)
        weights = self._attention_store(output_attentions)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        embeds = self._embed(input_ids, inputs_embeds, pixel_values, image_grid_hw, mm_token_type_ids)
        if use_cache is None:
            use_cache = self.config.llm_config.use_cache and not self.training and cu_seqlens is None
        if use_cache and cache is None:
            cache = GrowingCache(self.config)
        past = cache.get_seq_length() if cache is not None else 0
        if isinstance(past, Tensor):
            past = past.clone()  # a static cache counts on in this very tensor
        check_mask(attention_mask, *embeds.shape[:2])
        if cu_seqlens is not None and cache is not None:
            raise ValueError("cu_seqlens (packed documents) and a cache exclude each other: pass use_cache=False")
        positions = self._positions(
            embeds,
            given=position_ids,
            input_ids=input_ids,
            image_grid_hw=image_grid_hw,
            attention_mask=attention_mask,
            types=mm_token_type_ids,
            cu_seqlens=cu_seqlens,
            cache=cache,
            past=past,
        )
        if visible is None:
            visible = interval(positions, attention_mask, cu_seqlens, past)
        hidden, states = self.language_model.model(
            embeds,
            positions,
            visible,
            cache,
            keep=selected_states(output_hidden_states, len(self.language_model.model.layers) + 1),
            visual=None if image_grid_hw is None else self.visual_mask(input_ids, mm_token_type_ids),
            weights=weights,
        )
        if cache is not None:
            record_times(cache, positions[0], past)
        attentions = None
        if weights is not None:  # without the empty places of a cache's buffers
            keys = past + embeds.shape[1]
            attentions = tuple(x[..., :keys] if isinstance(past, int) and x.shape[-1] > keys else x for x in weights)
        wanted = states if output_hidden_states is not None and output_hidden_states is not False else None
        result = NeoOVModelOutput(hidden, cache if use_cache else None, wanted, attentions)
        return result if self._returns_dict(return_dict) else result.to_tuple()

    def _attention_store(self, output_attentions: bool | None) -> list[Tensor] | None:
        """A list for the layers' attention weights, if they are wanted."""
        if not (self.config.output_attentions if output_attentions is None else output_attentions):
            return None
        if self.config.llm_config._attn_implementation != "eager":
            raise ValueError(
                'output_attentions needs attn_implementation="eager", which writes the weights out; '
                "`pixelword explain` shows what an answer looks at with any kernel"
            )
        return []


class NeoOVForConditionalGeneration(NeoOVGenerationMixin, NeoOVModel):
    """NEO-ov with its language head: `generate`, loss, and everything that transformers does with such a model."""

    _tied_weights_keys = {"language_model.lm_head.weight": "language_model.model.embed_tokens.weight"}
    _keys_to_ignore_on_load_unexpected: list[str] = []
    _has_head = True
    accepts_loss_kwargs = True

    @property
    def base_model(self) -> NeoOVModel:
        """The network without its head: a view that shares every module, so that the checkpoint's names stay."""
        view = NeoOVModel.__new__(NeoOVModel)
        # What patches or compiles this object's own forward is not for the view.
        view.__dict__.update({k: v for k, v in vars(self).items() if k not in ("forward", "_compiled_call_impl")})
        return view

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.language_model.lm_head = value  # type: ignore[assignment]

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_hw: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        labels: Tensor | None = None,
        shift_labels: Tensor | None = None,
        loss_weight: Tensor | None = None,
        num_items_in_batch: Tensor | float | None = None,
        further_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        logits_to_keep: int | Tensor = 0,
        skip_logits: bool = False,
        use_cache: bool | None = None,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        visible: Interval | None = None,
        past_key_values: Cache | None = None,
        image_grid_thw: Tensor | None = None,
        **kwargs: Any,
    ) -> NeoOVCausalLMOutput | tuple:
        """As `NeoOVModel.forward`, and:

        Args:
            labels: (B, L), -100 where nothing is learned; the state before a label predicts it.
            shift_labels: (B, L), labels already moved to the state that predicts them, in place of `labels`,
                which may be there too: what ranks that share a sequence are given.
            loss_weight: (B, L) float, the weight of the label at the same place.
            num_items_in_batch: divide the loss by this (a sum of weights over ranks and micro-batches) instead.
            further_loss: (hidden (B, L, hidden_size), head (vocabulary, hidden_size)) -> scalar, added to the loss;
                here because the head's weight is whole inside a forward only, when ranks share the network.
            logits_to_keep: logits of the last n tokens (0: all), or of these indices.
            skip_logits: omit `logits` if only the loss is needed, which never materialises all of them.
        """
        targets = labels if shift_labels is None else shift_labels
        if use_cache is None and targets is not None:
            use_cache = False
        outputs = super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            pixel_values=pixel_values,
            image_grid_hw=single_grid(image_grid_hw, image_grid_thw),
            mm_token_type_ids=mm_token_type_ids,
            position_ids=position_ids,
            cache=single_cache(cache, past_key_values),
            inputs_embeds=inputs_embeds,
            cu_seqlens=cu_seqlens,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=True,
            visible=visible,
            **kwargs,
        )
        hidden, loss, logits = outputs.last_hidden_state, None, None
        assert hidden is not None
        head = self.language_model.lm_head
        if targets is not None:
            if targets.shape != hidden.shape[:2]:
                raise ValueError(
                    f"labels have shape {tuple(targets.shape)}; the sequences are {tuple(hidden.shape[:2])}"
                )
            loss = next_token_loss(
                *(hidden, head.weight, targets.to(hidden.device), loss_weight, cu_seqlens, num_items_in_batch),
                shifted=shift_labels is not None,
            )
            if further_loss is not None:
                loss = loss + further_loss(hidden, head.weight)
        if not skip_logits:
            keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            logits = head(hidden[:, keep])
        result = NeoOVCausalLMOutput(loss, logits, outputs.cache, outputs.hidden_states, outputs.attentions)
        return result if self._returns_dict(return_dict) else result.to_tuple()

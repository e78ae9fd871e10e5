"""The network on vLLM's parallel and quantized layers, paged attention and cache.

Patch embedding, rotation and the indices of tokens are those of `pixelword.model`; what is rewritten here is what
vLLM's layers do in another way: projections that are cut over ranks, and attention over a paged cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vllm.compilation.decorators import support_torch_compile
from vllm.config import VllmConfig
from vllm.distributed import get_pp_group, get_tensor_model_parallel_world_size
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.linear import MergedColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from vllm.model_executor.layers.logits_processor import LogitsProcessor
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding
from vllm.model_executor.models.interfaces import SupportsLoRA, SupportsMRoPE, SupportsMultiModal, SupportsPP
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.utils import (
    AutoWeightsLoader,
    PPMissingLayer,
    WeightsMapper,
    make_empty_intermediate_tensors_factory,
    make_layers,
    maybe_prefix,
)
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.platforms import current_platform
from vllm.sequence import IntermediateTensors

from pixelword.model.config import NeoOVConfig, NeoOVTextConfig
from pixelword.model.network import PatchEmbedding
from pixelword.model.rope import rope_index, rotary_tables, rotate

from .processor import NeoOVDummyInputs, NeoOVMultiModalProcessor, NeoOVProcessingInfo

#: Added to the second row of a visual token's indices where the network needs to see which tokens are visual: the rows
#: (t, t + h, t + w) alone do not distinguish an image's first token from text.
VISUAL = 1 << 32


class NeoOVAttention(nn.Module):
    """THW-decoupled attention: a head of Q and K is twice as wide as one of V, which is padded for the cache."""

    def __init__(self, config: NeoOVTextConfig, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        quant, ranks = vllm_config.quant_config, get_tensor_model_parallel_world_size()
        self.head_dim = size = config.head_dim
        heads, keys = config.num_attention_heads, config.num_key_value_heads
        self.heads, self.keys = heads // ranks, keys // ranks
        self.qkv_proj = QKVParallelLinear(
            config.hidden_size, size, heads, keys, bias=False, quant_config=quant, prefix=f"{prefix}.qkv_proj"
        )
        self.qk_proj_hw = MergedColumnParallelLinear(
            config.hidden_size,
            [heads * size, keys * size],
            bias=False,
            quant_config=quant,
            prefix=f"{prefix}.qk_proj_hw",
        )
        self.o_proj = RowParallelLinear(
            heads * size, config.hidden_size, bias=False, quant_config=quant, prefix=f"{prefix}.o_proj"
        )
        for name in ("q_norm", "k_norm"):
            setattr(self, name, RMSNorm(size, config.rms_norm_eps) if config.qk_norm else nn.Identity())
            setattr(self, f"{name}_h", RMSNorm(size // 2, config.rms_norm_eps))
            setattr(self, f"{name}_w", RMSNorm(size // 2, config.rms_norm_eps))
        self.attn = Attention(
            self.heads,
            2 * size,
            size**-0.5,
            num_kv_heads=self.keys,
            cache_config=vllm_config.cache_config,
            quant_config=quant,
            prefix=f"{prefix}.attn",
            attn_backend=_cpu_backend(2 * size) if current_platform.is_cpu() else None,
        )

    def _head(self, t: Tensor, hw: Tensor, which: str) -> Tensor:
        """(L, heads * head_dim) twice -> (L, heads, 2 * head_dim), laid out as `rotate` wants it."""
        t = getattr(self, f"{which}_norm")(t.unflatten(-1, (-1, self.head_dim)).contiguous())
        h, w = hw.unflatten(-1, (-1, 2, self.head_dim // 2)).unbind(-2)
        h = getattr(self, f"{which}_norm_h")(h.contiguous())
        w = getattr(self, f"{which}_norm_w")(w.contiguous())
        (t1, t2), (h1, h2), (w1, w2) = (part.chunk(2, -1) for part in (t, h, w))
        return torch.cat((t1, h1, w1, t2, h2, w2), -1)

    def forward(self, hidden: Tensor, rotary: tuple[Tensor, Tensor], spatial: Tensor | None = None) -> Tensor:
        """hidden (L, hidden_size), tables (L, 1, head_dim); spatial (L, 1), the places whose keys have H and W."""
        query, key = self.heads * self.head_dim, self.keys * self.head_dim
        q, k, v = self.qkv_proj(hidden)[0].split((query, key, key), -1)
        q_hw, k_hw = self.qk_proj_hw(hidden)[0].split((query, key), -1)
        if spatial is not None:
            k_hw = k_hw * spatial
        q = rotate(self._head(q, q_hw, "q"), *rotary).to(v.dtype)
        k = rotate(self._head(k, k_hw, "k"), *rotary).to(v.dtype)
        v = F.pad(v.unflatten(-1, (-1, self.head_dim)), (0, self.head_dim))
        out = self.attn(q.flatten(1), k.flatten(1), v.flatten(1))
        out = out.unflatten(-1, (-1, 2 * self.head_dim))[..., : self.head_dim]
        return self.o_proj(out.flatten(1))[0]


def _cpu_backend(head: int) -> type:
    from .attention import WholePictureBackend

    sizes = WholePictureBackend.get_supported_head_sizes()
    if head not in sizes:
        raise ValueError(f"vLLM's CPU attention has no heads of {head // 2}: only of {[siz // 2 for siz in sizes]}")
    return WholePictureBackend


class NeoOVMLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: NeoOVTextConfig, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        quant, wide = vllm_config.quant_config, config.intermediate_size
        self.gate_up_proj = MergedColumnParallelLinear(
            config.hidden_size, [wide] * 2, bias=False, quant_config=quant, prefix=f"{prefix}.gate_up_proj"
        )
        self.down_proj = RowParallelLinear(
            wide, config.hidden_size, bias=False, quant_config=quant, prefix=f"{prefix}.down_proj"
        )
        self.act = SiluAndMul()

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act(self.gate_up_proj(x)[0]))[0]


class NeoOVDecoderLayer(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream."""

    def __init__(self, config: NeoOVTextConfig, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        self.self_attn = NeoOVAttention(config, vllm_config, f"{prefix}.self_attn")
        self.mlp = NeoOVMLP(config, vllm_config, f"{prefix}.mlp")
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, rotary: tuple[Tensor, Tensor], spatial: Tensor | None = None) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotary, spatial)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


@support_torch_compile(
    dynamic_arg_dims={"input_ids": 0, "positions": -1, "intermediate_tensors": 0, "inputs_embeds": 0}
)
class NeoOVDecoder(nn.Module):
    """Token embeddings, all layers and the last norm: `language_model.model` of the released layout."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: NeoOVTextConfig = vllm_config.model_config.hf_config.get_text_config()
        self.config = config
        group = get_pp_group()
        needs_table = group.is_first_rank or (config.tie_word_embeddings and group.is_last_rank)
        self.embed_tokens = (
            VocabParallelEmbedding(
                config.vocab_size,
                config.hidden_size,
                quant_config=vllm_config.quant_config,
                prefix=f"{prefix}.embed_tokens",
            )
            if needs_table
            else PPMissingLayer()
        )
        self.start_layer, self.end_layer, self.layers = make_layers(
            config.num_hidden_layers,
            lambda prefix: NeoOVDecoderLayer(config, vllm_config, prefix),
            prefix=f"{prefix}.layers",
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps) if group.is_last_rank else PPMissingLayer()
        self.make_empty_intermediate_tensors = make_empty_intermediate_tensors_factory(
            ["hidden_states"], config.hidden_size
        )

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        return self.embed_tokens(input_ids)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor | IntermediateTensors:
        """positions: (3, L), rows (t, t + h, t + w); the rest as vLLM gives it, L tokens of all requests."""
        config = self.config
        if intermediate_tensors is not None:
            hidden = intermediate_tensors["hidden_states"]
        else:
            hidden = inputs_embeds if inputs_embeds is not None else self.embed_tokens(input_ids)
        visual = None
        if config.text_bypasses_pre_buffer:
            t, th, tw = positions
            visual = (th >= VISUAL).unsqueeze(-1)
            positions = torch.stack((t, th % VISUAL, tw))
        cos, sin = rotary_tables(
            positions.unsqueeze(1), config.head_dim, config.rope_theta, config.rope_theta_hw, hidden.dtype
        )
        rotary = cos[0, 0].unsqueeze(1), sin[0, 0].unsqueeze(1)
        for number, layer in enumerate(islice(self.layers, self.start_layer, self.end_layer), self.start_layer):
            if visual is None or number >= config.extra_num_layers:
                hidden = layer(hidden, rotary, visual)
            else:
                hidden = torch.where(visual, layer(hidden, rotary), hidden)
        if not get_pp_group().is_last_rank:
            return IntermediateTensors({"hidden_states": hidden})
        return self.norm(hidden)


class NeoOVVisionModel(nn.Module):
    """`vision_model` of the released layout: the patch embedding, replicated on every rank (9 to 18M parameters)."""

    def __init__(self, config: NeoOVConfig) -> None:
        super().__init__()
        self.embeddings = PatchEmbedding(config.vision_config)


class NeoOVLanguageModel(nn.Module):
    """`language_model` of the released layout."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: NeoOVTextConfig = vllm_config.model_config.hf_config.get_text_config()
        self.model = NeoOVDecoder(vllm_config=vllm_config, prefix=maybe_prefix(prefix, "model"))
        if get_pp_group().is_last_rank:
            self.lm_head = ParallelLMHead(
                config.vocab_size,
                config.hidden_size,
                quant_config=vllm_config.quant_config,
                prefix=maybe_prefix(prefix, "lm_head"),
            )
            if config.tie_word_embeddings:
                self.lm_head = self.lm_head.tie_weights(self.model.embed_tokens)
        else:
            self.lm_head = PPMissingLayer()
        self.logits_processor = LogitsProcessor(config.vocab_size)

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        return self.model.embed_input_ids(input_ids)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor | IntermediateTensors:
        return self.model(*args, **kwargs)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        return self.logits_processor(self.lm_head, hidden_states)


@MULTIMODAL_REGISTRY.register_processor(
    NeoOVMultiModalProcessor, info=NeoOVProcessingInfo, dummy_inputs=NeoOVDummyInputs
)
class NeoOVForConditionalGeneration(nn.Module, SupportsMultiModal, SupportsMRoPE, SupportsLoRA, SupportsPP):
    """NEO-ov in vLLM. Visual tokens are known from image positions, never from token ids."""

    packed_modules_mapping = {
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "qk_proj_hw": ["q_proj_hw", "k_proj_hw"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }
    embedding_modules = {"embed_tokens": "input_embeddings", "lm_head": "output_embeddings"}
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_stacked={
            f".{part}.": (f".{whole}.", shard)
            for whole, parts in (
                ("qkv_proj", {"q_proj": "q", "k_proj": "k", "v_proj": "v"}),
                ("qk_proj_hw", {"q_proj_hw": 0, "k_proj_hw": 1}),
                ("gate_up_proj", {"gate_proj": 0, "up_proj": 1}),
            )
            for part, shard in parts.items()
        }
    )

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return {"image": "<image>", "video": "<video>"}.get(modality)

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        self.config: NeoOVConfig = vllm_config.model_config.hf_config
        self.merge = self.config.vision_config.merge_size
        with self._mark_tower_model(vllm_config, {"image", "video"}):  # type: ignore[operator]
            self.vision_model = NeoOVVisionModel(self.config)
        with self._mark_language_model(vllm_config):  # type: ignore[operator]
            self.language_model = NeoOVLanguageModel(
                vllm_config=vllm_config, prefix=maybe_prefix(prefix, "language_model")
            )
        self.make_empty_intermediate_tensors = self.language_model.model.make_empty_intermediate_tensors

    def embed_multimodal(self, **kwargs: Any) -> list[Tensor]:
        """Embed every image, and all frames of every video: (tokens, hidden_size) each."""
        found: list[Tensor] = []
        for pixels, grid in (("pixel_values", "image_grid_hw"), ("video_pixel_values", "video_grid_hw")):
            if kwargs.get(pixels) is None:
                continue
            grids = kwargs[grid]
            counts = [int(item.prod(-1).sum()) // self.merge**2 for item in grids]
            patches = torch.cat(list(kwargs[pixels]))
            found += self.vision_model.embeddings(patches, torch.cat(list(grids))).split(counts)
        return found

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
        """Rows (t, t + h, t + w) of a prompt, (3, L), and what is added to a later token's place to get its t."""
        visual = torch.zeros(1, len(input_tokens), dtype=torch.bool)
        grids: list[Tensor] = []
        for feature in sorted(mm_features, key=lambda item: item.mm_position.offset):
            for first, last in feature.mm_position.extract_embeds_range():
                visual[0, first : last + 1] = True
            grids.append(feature.data[f"{feature.modality}_grid_hw"].data.view(-1, 2))
        rows = rope_index(visual, torch.cat(grids) // self.merge if grids else None)[:, 0]
        delta = int(rows[0].max()) + 1 - len(input_tokens)
        if self.config.llm_config.text_bypasses_pre_buffer:
            rows[1] += visual[0] * VISUAL
        return rows, delta

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor | IntermediateTensors:
        return self.language_model.model(input_ids, positions, intermediate_tensors, inputs_embeds)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        return self.language_model.compute_logits(hidden_states)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        tied = self.config.llm_config.tie_word_embeddings
        loader = AutoWeightsLoader(self, ignore_unexpected_prefixes=["language_model.lm_head."] if tied else None)
        return loader.load_weights(weights, mapper=self.hf_to_vllm_mapper)

    def get_mm_mapping(self) -> MultiModelKeys:
        return MultiModelKeys.from_string_field(
            language_model="language_model", connector=[], tower_model="vision_model"
        )

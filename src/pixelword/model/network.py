"""The network of NEO-ov from top to bottom, in torch alone: patches become visual tokens, one stack reads all tokens.

Module names are the released checkpoint's. `modeling` makes a transformers model of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import attend, attention_weights, mixed
from .masks import Interval
from .rope import rotary_tables, rotate, token_coordinates

if TYPE_CHECKING:
    from .config import NeoOVTextConfig, NeoOVVisionConfig


class KVCache(Protocol):
    """What a layer needs of a cache; transformers' caches have it."""

    def update(self, keys: Tensor, values: Tensor, layer: int, /) -> tuple[Tensor, Tensor]:
        """Append (B, kv_heads, L, D) and (B, kv_heads, L, E) to a layer's; returns all of them."""
        ...


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis, with a weight, computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


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


class Attention(nn.Module):
    """Qwen3's attention with its temporal branch beside height and width branches (NEO-ov, section 3.2).

    A head of Q and K is [T: head_dim | H: head_dim / 2 | W: head_dim / 2]; V and the output keep head_dim.
    """

    def __init__(self, config: NeoOVTextConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.scaling = config.head_dim**-0.5
        query, key = config.num_attention_heads * self.head_dim, config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query, bias=False)
        self.q_proj_hw = nn.Linear(config.hidden_size, query, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key, bias=False)
        self.k_proj_hw = nn.Linear(config.hidden_size, key, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key, bias=False)
        self.o_proj = nn.Linear(query, config.hidden_size, bias=False)
        eps, half = config.rms_norm_eps, self.head_dim // 2
        for name in ("q_norm", "k_norm"):
            setattr(self, name, RMSNorm(self.head_dim, eps) if config.qk_norm else nn.Identity())
            setattr(self, f"{name}_h", RMSNorm(half, eps))
            setattr(self, f"{name}_w", RMSNorm(half, eps))

    def _head(self, t: Tensor, hw: Tensor, which: str) -> Tensor:
        """Join a projection's branches into heads: (B, L, heads * head_dim) twice -> (B, heads, L, 2 * head_dim).

        Each part is normalised by itself; the halves that a rotation pairs are laid out [t1 h1 w1 | t2 h2 w2].
        """
        t = t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        h, w = hw.unflatten(-1, (-1, 2, self.head_dim // 2)).unbind(-2)
        t = getattr(self, f"{which}_norm")(t)
        h = getattr(self, f"{which}_norm_h")(h.transpose(1, 2))
        w = getattr(self, f"{which}_norm_w")(w.transpose(1, 2))
        (t1, t2), (h1, h2), (w1, w2) = (part.chunk(2, -1) for part in (t, h, w))
        return torch.cat((t1, h1, w1, t2, h2, w2), -1)

    def branches(self, hidden: Tensor) -> Sequence[Tensor]:
        """The five products of (B, L, hidden_size): q, q_hw, k, k_hw, v, each (B, L, heads * head_dim).

        Apart, for training and saving; for answering `generation.prepared_weights` makes one of them.
        """
        projections = (self.q_proj, self.q_proj_hw, self.k_proj, self.k_proj_hw, self.v_proj)
        return [projection(hidden) for projection in projections]

    def projected(
        self, hidden: Tensor, rotary: tuple[Tensor, Tensor], spatial: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What attention is over: turned q (B, heads, L, 2 * head_dim), k (B, kv_heads, L, …), v (…, head_dim).

        Arguments as of `forward`.
        """
        q, q_hw, k, k_hw, v = self.branches(hidden)
        v = v.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        q = rotate(self._head(q, q_hw, "q"), *rotary).to(v.dtype)
        k = rotate(self._head(k, k_hw if spatial is None else k_hw * spatial, "k"), *rotary).to(v.dtype)
        return q, k, v

    def forward(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        visible: Interval,
        cache: KVCache | None = None,
        spatial: Tensor | None = None,
        weights: list[Tensor] | None = None,
    ) -> Tensor:
        """hidden (B, L, hidden_size), tables of `rotary_tables`, the interval -> (B, L, hidden_size).

        spatial: (B, L, 1) bool, the places whose keys have an H and a W part; None for all.
        weights: gets this layer's attention weights, (B, heads, L, keys).
        """
        q, k, v = self.projected(hidden, rotary, spatial)
        if cache is not None:
            k, v = cache.update(k, v, self.layer_idx)
        if weights is None:
            out = attend(q, k, v, visible, self.scaling, self.config._attn_implementation or "sdpa")
        else:  # the reference, with the very weights that are returned, so that gradients reach them
            weights.append(attention_weights(q, k, visible, self.scaling))
            out = mixed(weights[-1], v)
        return self.o_proj(out.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: NeoOVTextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream."""

    def __init__(self, config: NeoOVTextConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer_idx)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        visible: Interval,
        cache: KVCache | None = None,
        spatial: Tensor | None = None,
        keys_only: bool = False,
        weights: list[Tensor] | None = None,
    ) -> Tensor:
        """As `Attention.forward`. keys_only: remember the tokens' keys and values, and leave `hidden` as it is."""
        if keys_only:
            assert cache is not None
            _, k, v = self.self_attn.projected(self.input_layernorm(hidden), rotary, spatial)
            cache.update(k, v, self.self_attn.layer_idx)
            return hidden
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotary, visible, cache, spatial, weights)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Decoder(nn.Module):
    """Token embeddings, all layers and the last norm: `language_model.model` of the released layout."""

    def __init__(self, config: NeoOVTextConfig, layer: Callable[[NeoOVTextConfig, int], Layer] = Layer) -> None:
        """layer: makes each layer, from the configuration and its number."""
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def rotary(self, position_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every token's angles, each (B, 1, L, head_dim); made once for all layers."""
        config = self.config
        return rotary_tables(position_ids, config.head_dim, config.rope_theta, config.rope_theta_hw, dtype)

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        visible: Interval,
        cache: KVCache | None = None,
        keep: Collection[int] = (),
        visual: Tensor | None = None,
        weights: list[Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """Run the stack.

        Args:
            inputs_embeds: (B, L, hidden_size).
            position_ids: (3, B, L), rows (t, t + h, t + w).
            visible: the interval of every query.
            keep: hidden states to return: i for the state before layer i, the number of layers for the last one.
            visual: (B, L) bool, the places of visual tokens; None for none. Read where text bypasses the pre-buffer.
            weights: gets the attention weights of every layer.

        Returns:
            the normed last state (B, L, hidden_size), and layers + 1 hidden states, None for those not to be kept.
        """
        config = self.config
        rotary = self.rotary(position_ids, inputs_embeds.dtype)
        hidden, states = inputs_embeds, [inputs_embeds if 0 in keep else None]
        if not config.text_bypasses_pre_buffer:
            places = None
        else:
            places = torch.zeros(hidden.shape[:2], dtype=torch.bool) if visual is None else visual
            places = places.to(hidden.device).unsqueeze(-1)
        for number in range(len(self.layers)):
            if visual is None and cache is not None and weights is None and self._only_keys(number):
                hidden = self.layers[number](hidden, rotary, visible, cache, keys_only=True)  # images may follow
            else:
                hidden = self.run_layer(number, hidden, rotary, visible, cache, places, weights)
            states.append(hidden if number + 1 in keep else None)
        hidden = self.norm(hidden)
        return hidden, (*states[:-1], hidden if len(self.layers) in keep else None)

    def run_layer(
        self,
        number: int,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        visible: Interval,
        cache: KVCache | None,
        places: Tensor | None,
        weights: list[Tensor] | None = None,
    ) -> Tensor:
        """Layer `number` over states (B, L, hidden_size). places: (B, L, 1) bool, the visual tokens where text bypasses
        the pre-buffer; None where it does not."""
        layer = self.layers[number]
        if visible.pre_buffer is not None and number < self.config.extra_num_layers:
            visible = visible.pre_buffer
        if places is None or number >= self.config.extra_num_layers:
            return layer(hidden, rotary, visible, cache, places, weights=weights)
        # all are computed: later images read the words' keys, and ranks that share layers run alike
        return torch.where(places, layer(hidden, rotary, visible, cache, weights=weights), hidden)

    def _only_keys(self, number: int) -> bool:
        """Whether text alone leaves no more than its keys and values in a layer, where nothing is learned."""
        bypassed = self.config.text_bypasses_pre_buffer and number < self.config.extra_num_layers
        return bypassed and not torch.is_grad_enabled()

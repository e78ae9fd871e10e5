"""FLOPs of a training step: the formulas behind MFU and the dry run.

A product of (T, in) by (in, out) is 2 * T * in * out. Its backward pass is as much again for the gradient of the input,
where something before it is trained, and for the gradient of the weight, where that is trained: frozen weights cost two
thirds, and what comes before the first trained parameter one third. Attention is counted over the visible (query, key)
pairs alone: scores are 2 * head_dim wide, values head_dim. Norms, rotations and softmax are not counted, as is usual.
What activation checkpointing computes again is apart (`Rates.again`): it is the machine's work, not the model's.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from pixelword.model.config import NeoOVConfig
from pixelword.model.meta import meta_model
from pixelword.training.stages import decoder_layers, set_trainable

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.model.network import Layer
    from pixelword.training.recipe import LoraRecipe


@dataclass(frozen=True)
class Rates:
    """FLOPs of forward and backward for each token, visible pair, supervised token and 16-pixel patch.

    again: FLOPs a token and a pair take for one more forward pass of the layers, which full checkpointing makes.
    """

    token: float
    pair: float
    supervised: float
    patch: float
    again: tuple[float, float]

    def flops(self, tokens: float, pairs: float, supervised: float, patches: float) -> float:
        """Return the FLOPs for these counts, forward and backward, without recomputation."""
        return tokens * self.token + pairs * self.pair + supervised * self.supervised + patches * self.patch


def training_flops(
    config: NeoOVConfig,
    tokens: float,
    pairs: float,
    trainable: Sequence[str],
    supervised: float,
    patches: float,
    lora: LoraRecipe | None = None,
) -> float:
    """Return the FLOPs of one step, forward and backward, as used for MFU.

    Args:
        config: of the model.
        tokens: without padding; pairs: visible (query, key) pairs of them (`Pack.pairs`).
        trainable: the roles that are trained (`Recipe.trainable`).
        supervised: tokens with a loss, the head's rows.
        patches: 16-pixel patches of the images (`len(Pack.pixel_values)`).
        lora: adapters beside them.
    """
    return rates(config, trainable, lora).flops(tokens, pairs, supervised, patches)


def rates(config: NeoOVConfig, trainable: Sequence[str], lora: LoraRecipe | None = None) -> Rates:
    """Return the `Rates` of a model that trains these roles; cached, so it is cheap per step."""
    adapters = (lora.rank, tuple(lora.targets)) if lora else (0, ())
    return _rates(json.dumps(config.to_dict(), sort_keys=True, default=str), tuple(trainable), *adapters)


@functools.lru_cache(maxsize=16)
def _rates(config: str, trainable: tuple[str, ...], rank: int, targets: tuple[str, ...]) -> Rates:
    network = meta_model(NeoOVConfig.from_dict(json.loads(config)))
    set_trainable(network, trainable)
    return network_rates(network, rank, targets)


def network_rates(network: NeoOVForConditionalGeneration, rank: int = 0, targets: Sequence[str] = ()) -> Rates:
    """`Rates` of a network as its parameters are frozen or not; adapters of `rank` on the layers' `targets`."""
    vision, language = network.vision_model.embeddings, network.language_model.model
    patch = _Count()
    pixels = patch.product(vision.patch_embedding.weight, False) or _trained(vision.patch_embedding)
    patch.product(vision.dense_embedding.weight, pixels, rows=1 / vision.merge**2)
    flows = _trained(vision) or _trained(language.embed_tokens)
    token, pair = _Count(rank, tuple(targets)), _Count()
    for layer in decoder_layers(network):
        flows = _layer(layer, flows, token, pair)
    head = _Count()
    head.product(network.language_model.lm_head.weight, flows or _trained(language.norm))
    return Rates(token.all, pair.all, head.all, patch.all, (token.forward, pair.forward))


class _Count:
    """Sums FLOPs of matrix products in forward order, tracking where gradients flow."""

    def __init__(self, rank: int = 0, targets: tuple[str, ...] = ()) -> None:
        self.rank, self.targets = rank, targets
        self.forward, self.backward = 0.0, 0.0

    @property
    def all(self) -> float:
        return self.forward + self.backward

    def product(self, weight: Tensor, flows: bool, name: str = "", rows: float = 1.0) -> bool:
        """Count one product; `flows`: its input needs a gradient. Returns whether its output does."""
        size = 2.0 * rows * weight.numel()
        self.forward += size
        self.backward += size * (flows + weight.requires_grad)
        if name not in self.targets or weight.requires_grad:  # what is trained whole gets no adapter
            return flows or weight.requires_grad
        down, up = 2.0 * rows * self.rank * weight.shape[1], 2.0 * rows * self.rank * weight.shape[0]
        self.forward += down + up
        self.backward += down * (1 + flows) + up * 2
        return True


def _layer(layer: Layer, flows: bool, token: _Count, pair: _Count) -> bool:
    """Count one layer, per token and per pair. Returns whether its output needs a gradient."""
    item, heads = layer.self_attn, layer.self_attn.config.num_attention_heads

    def branch(names: Iterable[str], norms: Iterable[str], flows: bool) -> bool:
        needs = [token.product(getattr(item, name).weight, flows, name) for name in names]
        return any(needs) or any(_trained(getattr(item, name)) for name in norms)

    normed = flows or _trained(layer.input_layernorm)
    query = branch(("q_proj", "q_proj_hw"), ("q_norm", "q_norm_h", "q_norm_w"), normed)
    key = branch(("k_proj", "k_proj_hw"), ("k_norm", "k_norm_h", "k_norm_w"), normed)
    value = branch(("v_proj",), (), normed)
    width = 2.0 * heads * item.head_dim  # one product over values; scores are twice as wide
    pair.forward += 3 * width
    # gradients of the values, of the softmax's input, and through it of queries and keys
    pair.backward += width * (value + (query or key) + 2 * query + 2 * key)
    attended = token.product(item.o_proj.weight, query or key or value, "o_proj")
    hidden = flows or attended
    normed = hidden or _trained(layer.post_attention_layernorm)
    gate = token.product(layer.mlp.gate_proj.weight, normed, "gate_proj")
    up = token.product(layer.mlp.up_proj.weight, normed, "up_proj")
    return token.product(layer.mlp.down_proj.weight, gate or up, "down_proj") or hidden


def _trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())

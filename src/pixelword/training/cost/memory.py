"""Memory of a training step on one device, computed from shapes: the dry run's memory formulas.

Counts the peak, at the start of the last layer's backward pass: weights, gradients and optimizer state, saved
activations of every layer, one layer's working memory, and one chunk of logits. Activations are those of uncompiled
layers; compiled ones keep less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from torch import nn

from pixelword.model.loss import CHUNK
from pixelword.training.stages import decoder_layers

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.model.network import Layer
    from pixelword.training.recipe import Recipe

FLOAT = 4  # bytes of a float32: master weights, gradients, moments
#: CUDA's context, NCCL's buffers, the allocator's gaps: what nvidia-smi shows beyond PyTorch's own count (assumed).
OVERHEAD = 2.0e9


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    weights: float32 masters (this device's shard). frozen: projections that `lora.base` stores in bf16 or int8.
    gathered: weights in the precision of the arithmetic: with FSDP those of two layers and of the root, else of all.
    gradients: float32 shard, and a layer's and the root's while they
    are summed over ranks. optimizer: moments. average: of an EMA. activations: kept by all layers, and one at work.
    pixels: patches and what the patch embedding keeps. head: supervised states and one chunk of logits.
    overhead: `OVERHEAD` on a GPU.
    """

    weights: float
    frozen: float
    gathered: float
    gradients: float
    optimizer: float
    average: float
    activations: float
    pixels: float
    head: float
    overhead: float

    @property
    def total(self) -> float:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Load:
    """Contents of one micro-batch (one pack): slots with padding, supervised tokens, 16-pixel patches."""

    slots: float
    supervised: float
    patches: float


def step_memory(
    network: NeoOVForConditionalGeneration, recipe: Recipe, load: Load, shard: int, gpu: bool = True
) -> Memory:
    """Memory of one of `shard` devices that share the weights; `network` (on meta) as its parameters are frozen."""
    compute = 2 if recipe.precision == "bf16" else FLOAT
    layers = decoder_layers(network)
    every, trained = _size(network.parameters()), _size(p for p in network.parameters() if p.requires_grad)
    adapters = adapter_parameters(network, recipe)
    every, trained = every + adapters, trained + adapters
    base = recipe.lora.base if recipe.lora else "fp32"
    frozen = _frozen_projections(layers) if base != "fp32" else []
    rounded = sum(frozen)
    largest = max(_size(layer.parameters()) for layer in layers)
    root = every - sum(_size(layer.parameters()) for layer in layers)
    passing = max(_size(p for p in layer.parameters() if p.requires_grad) for layer in layers)
    passing += root if any(p.requires_grad for p in network.get_input_embeddings().parameters()) else 0
    if shard > 1:
        gathered = (2 * largest + root) * compute
        gradients = trained / shard * FLOAT + passing * (compute + FLOAT)
    else:  # autocast keeps a bf16 copy of every weight until the step ends
        gathered = (every - rounded) * compute if recipe.precision == "bf16" else 0
        gradients = trained * FLOAT
    return Memory(
        weights=(every / shard - rounded) * FLOAT,
        frozen=rounded * {"fp32": 4.0, "bf16": 2.0, "int8": 1.0}[base],
        gathered=gathered + (max(frozen, default=0) * compute if base == "int8" else 0),  # one is widened at a time
        gradients=gradients,
        optimizer=moments(network, recipe) / shard * FLOAT,
        average=trained / shard * FLOAT if recipe.optimizer.ema else 0,
        activations=load.slots * _activations(network, recipe, compute, sharded=shard > 1),
        pixels=load.patches * _pixels(network, compute),
        head=_head(network, load.supervised, compute),
        overhead=OVERHEAD if gpu else 0,
    )


def _frozen_projections(layers: Iterable[Layer]) -> list[int]:
    """Sizes of the frozen projections, which `lora.base` stores in another type; one GPU alone has such."""
    modules = (module for layer in layers for module in layer.modules() if isinstance(module, nn.Linear))
    return [module.weight.numel() for module in modules if not module.weight.requires_grad]


def adapter_parameters(network: NeoOVForConditionalGeneration, recipe: Recipe) -> int:
    """Return the parameters of LoRA adapters on frozen projections."""
    if recipe.lora is None:
        return 0
    targets = set(recipe.lora.targets)
    modules = (
        module
        for layer in decoder_layers(network)
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in targets and not module.weight.requires_grad
    )
    return sum(recipe.lora.rank * (module.in_features + module.out_features) for module in modules)


def moments(network: NeoOVForConditionalGeneration, recipe: Recipe) -> int:
    """Return the size of the optimizer state: two numbers per parameter for AdamW, one for Muon's matrices."""
    trained = _size(p for p in network.parameters() if p.requires_grad) + adapter_parameters(network, recipe)
    layers = decoder_layers(network)
    matrices = _size(p for layer in layers for p in layer.parameters() if p.ndim == 2 and p.requires_grad)
    return 2 * trained - (matrices if recipe.optimizer.name == "muon" else 0)


def _activations(network: NeoOVForConditionalGeneration, recipe: Recipe, compute: int, sharded: bool) -> float:
    """Return bytes per token in the whole stack, saved and in use."""
    stream = compute if sharded else FLOAT  # under autocast the residual stream stays in float32
    layers = decoder_layers(network)
    whole = [kept_by_layer(layer, "none", compute, stream) for layer in layers]
    kept = [kept_by_layer(layer, recipe.activation_checkpointing, compute, stream) for layer in layers]
    at_work = max(whole) if recipe.activation_checkpointing != "none" else 0
    # embeddings and the last norm's input and output
    return sum(kept) + at_work + 3 * network.config.llm_config.hidden_size * stream


def kept_by_layer(layer: Layer, checkpointing: str, compute: int, stream: int) -> float:
    """Return bytes per token saved in a layer for backward; products and attention at `compute` bytes per number."""
    attention, config = layer.self_attn, layer.self_attn.config
    d, ff = config.hidden_size, config.intermediate_size
    query, key = (n * config.head_dim for n in (config.num_attention_heads, config.num_key_value_heads))
    logsumexp = FLOAT * config.num_attention_heads
    if checkpointing == "full":
        return d * stream
    if checkpointing == "selective":  # what products and attention give: five projections, V, o_proj, three of the MLP
        return d * stream + compute * (2 * query + 2 * key + key + query + d + 2 * ff + d) + logsumexp

    def trains(*names: str) -> bool:
        return any(p.requires_grad for name in names for p in getattr(attention, name).parameters())

    branches = 2 if config.qk_norm else 1  # a norm keeps its input; without one, H and W alone
    saved = compute * (branches * (query + key) + 2 * query + 2 * key + key + query + 3 * ff) + logsumexp
    saved += 2 * d * stream  # inputs of both norms
    # inputs of products are kept for the gradient of their weights alone
    saved += compute * d * trains("q_proj", "q_proj_hw", "k_proj", "k_proj_hw", "v_proj")
    saved += compute * query * trains("o_proj")
    mlp = layer.mlp
    saved += compute * d * (mlp.gate_proj.weight.requires_grad or mlp.up_proj.weight.requires_grad)
    return saved + compute * ff * mlp.down_proj.weight.requires_grad


def _pixels(network: NeoOVForConditionalGeneration, compute: int) -> float:
    """Return bytes per patch: pixels twice, channels before and after GELU, their angles, float32 working memory."""
    vision = network.config.vision_config
    pixels, channels = vision.num_channels * vision.patch_size**2, vision.hidden_size
    return pixels * (FLOAT + compute) + channels * (2 * compute + FLOAT) + 2 * channels * FLOAT


def _head(network: NeoOVForConditionalGeneration, supervised: float, compute: int) -> float:
    """Supervised states, and a chunk of logits with its float32 copy, its softmax and their gradients."""
    vocabulary, d = network.language_model.lm_head.weight.shape
    chunk = min(CHUNK, supervised * vocabulary)
    return supervised * d * compute * 2 + chunk * (2 * compute + 3 * FLOAT)


def _size(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)

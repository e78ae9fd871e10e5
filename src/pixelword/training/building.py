"""Builds the objects of a run from a recipe: processor, network, compiled layers, precision."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from transformers import AutoTokenizer

from pixelword.checkpoints.load import load_pretrained
from pixelword.checkpoints.released import read_config
from pixelword.errors import RecipeError
from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.model.meta import meta_model
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.tokenizer import IMG_CONTEXT, IMG_END, IMG_START
from pixelword.training.initial import set_cosine_patches
from pixelword.training.lora import add_adapters
from pixelword.training.parallel import World, copy_over, shard, take_weights
from pixelword.training.precision import compute_dtype
from pixelword.training.rounded_base import round_frozen
from pixelword.training.stages import decoder_layers, set_trainable
from pixelword.training.start import existing, tokenizer_folder

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe

# what selective checkpointing keeps; flex attention is one operator where the layer is compiled
_COSTLY = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    torch.ops.higher_order.flex_attention,
}
#: What makes a network of a recipe, in float32.
Builder = Callable[["Recipe", NeoOVProcessor], NeoOVForConditionalGeneration]
_CONTROL = {"img_context_token_id": IMG_CONTEXT, "img_start_token_id": IMG_START, "img_end_token_id": IMG_END}


def build_processor(recipe: Recipe) -> NeoOVProcessor:
    """Load the previous stage's processor, or build one from the named tokenizer and `model.config`'s pixel limits.

    Raises RecipeError if the tokenizer is missing, CheckpointError if the previous stage is.
    """
    if recipe.model.from_ is not None:
        return NeoOVProcessor.from_pretrained(existing(recipe.model.from_))
    folder = tokenizer_folder(recipe)
    vision = recipe.model.arguments.get("vision_config", {})
    limits = {key: vision[key] for key in ("min_pixels", "max_pixels") if key in vision}
    return NeoOVProcessor(NeoOVImageProcessor(**limits), AutoTokenizer.from_pretrained(folder, trust_remote_code=False))


def build_network(
    recipe: Recipe, processor: NeoOVProcessor, world: World, build: Builder | None = None
) -> tuple[NeoOVForConditionalGeneration, nn.Module]:
    """Build the network, and its wrapped callable: frozen, with adapters, compiled, sharded.

    Every rank calls this. If sharded, only the first reads (or initialises) the weights, in CPU memory.
    build: replaces `build_model`, if not sharded.
    """
    if world.mesh is None:
        model = (build or build_model)(recipe, processor)
        if recipe.lora is not None and recipe.lora.base == "int8":  # before it is moved: a GPU never holds it whole
            set_trainable(model, recipe.trainable)
            round_frozen(decoder_layers(model))
        model = model.to(world.device)
        _prepare(model, recipe)
        _round_base(model, recipe, world)
        return model, copy_over(model, world) if world.size > 1 else model
    if recipe.lora is not None and recipe.lora.base != "fp32":
        raise RecipeError(
            f"lora.base: {recipe.lora.base} is for one GPU, or copies of it: --set parallel.shard=1, or lora.base=fp32"
        )
    whole: dict[str, Tensor] = {}
    if world.rank == 0:
        source = build_model(recipe, processor)
        _choose(source, recipe)
        whole = source.state_dict()
    model = meta_model(_network_config(recipe, processor)).float()
    model.set_attn_implementation(recipe.attention)
    with torch.device("meta"):
        _prepare(model, recipe)
    shard(model, recipe, world.mesh)
    take_weights(model, whole, world.device)
    return model, model


def _prepare(model: NeoOVForConditionalGeneration, recipe: Recipe) -> None:
    _choose(model, recipe)
    checkpoint_activations(model, recipe.activation_checkpointing)
    if recipe.compile:
        compile_layers(model)


def _choose(model: NeoOVForConditionalGeneration, recipe: Recipe) -> None:
    """Set which parameters are trained; add adapters to the rest if the recipe has them."""
    set_trainable(model, recipe.trainable)
    if recipe.lora is not None:
        add_adapters(model, recipe.lora)


def _round_base(model: NeoOVForConditionalGeneration, recipe: Recipe, world: World) -> None:
    """Store the layers' frozen projections in bf16 if `lora.base` says so.

    Raises:
        RecipeError: bf16, where arithmetic is float32.
    """
    if recipe.lora is None or recipe.lora.base != "bf16":
        return
    if compute_dtype(recipe, world.device) != torch.bfloat16:
        raise RecipeError("lora.base: bf16 needs bf16 arithmetic; --set precision=bf16, or lora.base=fp32")
    for layer in decoder_layers(model):
        for module in layer.modules():
            if isinstance(module, nn.Linear) and not module.weight.requires_grad:
                module.weight.data = module.weight.data.to(torch.bfloat16)


def build_model(recipe: Recipe, processor: NeoOVProcessor) -> NeoOVForConditionalGeneration:
    """Build the network in float32: from the previous stage, or with random weights."""
    config = _network_config(recipe, processor)
    if recipe.model.from_ is not None:
        model = load_pretrained(recipe.model.from_, dtype=torch.float32)  # a delta, too
        model.set_attn_implementation(recipe.attention)
        return model
    model = NeoOVForConditionalGeneration(config).float()
    if recipe.model.patches == "cosine":
        set_cosine_patches(model)
    return model


def _network_config(recipe: Recipe, processor: NeoOVProcessor) -> NeoOVConfig:
    if recipe.model.from_ is not None:
        return read_config(existing(recipe.model.from_))
    return NeoOVConfig(**with_vocabulary(recipe.model.arguments, processor), attn_implementation=recipe.attention)


def with_vocabulary(config: dict[str, Any], processor: NeoOVProcessor) -> dict[str, Any]:
    """Fill in the vocabulary size and control token ids if `config` lacks them."""
    tokenizer = processor.tokenizer
    text = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **config.get("llm_config", {}),
    }
    ids = {key: processor.encoder.control[token] for key, token in _CONTROL.items()}
    return {**ids, **config, "llm_config": text}


def checkpoint_activations(model: NeoOVForConditionalGeneration, kind: str) -> None:
    """Apply activation checkpointing to the layers.

    full: a layer keeps its input. selective: also the outputs of matrix products and attention, so that only cheap
    operations are recomputed.
    """
    if kind == "none":
        return
    selective = {"context_fn": partial(create_selective_checkpoint_contexts, _keep_costly)}
    for layer in decoder_layers(model):
        layer.forward = _checkpointed(layer.forward, selective if kind == "selective" else {})  # type: ignore[method-assign]


def _checkpointed(forward: Callable[..., Tensor], options: dict[str, Any]) -> Callable[..., Tensor]:
    def run(*inputs: Any, **keywords: Any) -> Tensor:
        return checkpoint(forward, *inputs, use_reentrant=False, **options, **keywords)

    return run


def _keep_costly(context: Any, operator: Any, *inputs: Any, **options: Any) -> CheckpointPolicy:
    costly = operator in _COSTLY
    return CheckpointPolicy.MUST_SAVE if costly else CheckpointPolicy.PREFER_RECOMPUTE


def compile_layers(model: NeoOVForConditionalGeneration) -> None:
    """Compile every layer separately, for the stage's fixed shape; the first steps take a minute."""
    # two graphs a layer (training, validation) would pass the default limit of 8 and fall back to eager in silence
    torch._dynamo.config.recompile_limit = 4 * len(decoder_layers(model))
    for layer in decoder_layers(model):
        # the method, not the module: what FSDP hangs on a module's call stays outside of the graph
        layer.forward = torch.compile(layer.forward, dynamic=False)  # type: ignore[method-assign]


def precision(recipe: Recipe, world: World) -> AbstractContextManager[Any]:
    """Autocast to bf16 on float32 weights, or plain float32; sharded weights are gathered in the same type."""
    dtype = compute_dtype(recipe, world.device)
    if dtype == torch.float32 or world.mesh is not None:
        return nullcontext()
    return torch.autocast(world.device.type, dtype)

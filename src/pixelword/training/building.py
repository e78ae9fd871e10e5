"""From a recipe to the objects of a run: processor, network, compiled layers, precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoTokenizer

import pixelword
from pixelword.errors import CheckpointError, RecipeError
from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.processing.images import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.tokens import IMG_CONTEXT, IMG_END, IMG_START
from pixelword.training.stages import decoder_layers

if TYPE_CHECKING:
    from pixelword.training.recipe import Recipe

_CONTROL = {"img_context_token_id": IMG_CONTEXT, "img_start_token_id": IMG_START, "img_end_token_id": IMG_END}


def build_processor(recipe: Recipe) -> NeoOVProcessor:
    """The processor of the stage before, or for a start the named tokenizer with the pixel limits of `model.config`.

    Raises RecipeError when the tokenizer is not there, CheckpointError when the stage before is not.
    """
    if recipe.model.from_ is not None:
        return NeoOVProcessor.from_pretrained(_existing(recipe.model.from_))
    name = str(recipe.tokenizer)
    folder = Path(name) if Path(name).is_dir() else Path(pixelword.__file__).parent / "weights" / name
    if not (folder / "tokenizer.json").is_file():
        raise RecipeError(
            f"tokenizer: {name!r} is neither a folder with a tokenizer.json nor the name of embedded weights"
        )
    vision = recipe.model.arguments.get("vision_config", {})
    limits = {key: vision[key] for key in ("min_pixels", "max_pixels") if key in vision}
    return NeoOVProcessor(NeoOVImageProcessor(**limits), AutoTokenizer.from_pretrained(folder, trust_remote_code=False))


def build_model(recipe: Recipe, processor: NeoOVProcessor) -> NeoOVForConditionalGeneration:
    """The network in float32: from the stage before, or with random weights."""
    if recipe.model.from_ is not None:
        return NeoOVForConditionalGeneration.from_pretrained(
            _existing(recipe.model.from_), dtype=torch.float32, attn_implementation=recipe.attention
        )
    config = NeoOVConfig(**with_vocabulary(recipe.model.arguments, processor), attn_implementation=recipe.attention)
    return NeoOVForConditionalGeneration(config).float()


def _existing(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"model.from: {folder} holds no checkpoint; run the stage before this one first")
    return folder


def with_vocabulary(config: dict[str, Any], processor: NeoOVProcessor) -> dict[str, Any]:
    """`config` with the vocabulary's size and the control tokens' ids where it does not give them."""
    tokenizer = processor.tokenizer
    text = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **config.get("llm_config", {}),
    }
    ids = {key: processor.encoder.control[token] for key, token in _CONTROL.items()}
    return {**ids, **config, "llm_config": text}


def compile_layers(model: NeoOVForConditionalGeneration) -> None:
    """Compile every layer by itself for the one shape a stage has; the first steps take a minute."""
    # two graphs a layer (training, validation) would pass the default limit of 8 and fall back to eager in silence
    torch._dynamo.config.recompile_limit = 4 * len(decoder_layers(model))
    for layer in decoder_layers(model):
        layer.compile(dynamic=False)


def precision(name: str, device: str = "cpu") -> AbstractContextManager[Any]:
    """bf16 arithmetic on float32 weights, or plain float32."""
    return torch.autocast(device, torch.bfloat16) if name == "bf16" else nullcontext()

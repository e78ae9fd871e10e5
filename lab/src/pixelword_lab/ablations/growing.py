"""Growing inside an ablation: a language model trained here on words alone, and ways to begin its H/W branch.

Trained with H/W keys of zero a native model without a pre-buffer is a Qwen3 to the last bit, so it becomes one, and the
growth is that of `pixelword grow`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from pixelword.checkpoints.grow import STD, grow
from pixelword.checkpoints.load import load_pretrained
from pixelword.errors import RecipeError
from pixelword.processing.processor import NeoOVProcessor
from pixelword.training.building import build_model
from pixelword.training.stages import decoder_layers
from pixelword.utils.files import whole_folder
from pixelword_lab.ablations.recipe import Growth

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.training.recipe import Recipe

_LANGUAGE = "language_model."


def build_language_model(recipe: Recipe, processor: NeoOVProcessor) -> NeoOVForConditionalGeneration:
    """The network of a first stage that is to be grown from: without spatial keys, and blind, every visual token being
    the same. So it may be trained on the words of conversations about images. Raises RecipeError otherwise."""
    model = build_model(recipe, processor)
    text = model.config.llm_config
    if text.extra_num_layers or not text.qk_norm or recipe.trainable != ["language"] or recipe.model.from_ is not None:
        raise RecipeError(
            f"stage {recipe.stage}: a language model to grow from has extra_num_layers: 0, trainable: [language] and "
            "random weights of a model.config"
        )
    with torch.no_grad():
        for layer in decoder_layers(model):
            layer.self_attn.k_proj_hw.weight.zero_()
        for parameter in model.vision_model.parameters():
            parameter.zero_()
    return model


def grown(folder: Path, out: Path, growth: Growth, seed: int) -> None:
    """Grow the language model in `folder` into the folder `out`, with its processor."""
    source = load_pretrained(folder, dtype=torch.float32)
    processor = NeoOVProcessor.from_pretrained(folder)
    model, _ = grow(
        as_qwen3(source),
        extra_num_layers=growth.layers,
        start=growth.start,
        vision_hidden_size=source.config.vision_config.hidden_size,
        min_pixels=source.config.vision_config.min_pixels,
        max_pixels=source.config.vision_config.max_pixels,
        tokenizer=processor.tokenizer,
        seed=seed,
    )
    # bases of a small model's small images, which no language model knows of
    model.config.llm_config.rope_theta_hw = source.config.llm_config.rope_theta_hw
    model.config.vision_config.rope_theta_vision = source.config.vision_config.rope_theta_vision
    begin_spatial(model, growth, torch.Generator().manual_seed(seed))
    with whole_folder(out, replace=True) as whole:
        model.save_pretrained(whole)
        processor.save_pretrained(whole)


@torch.no_grad()
def begin_spatial(model: NeoOVForConditionalGeneration, growth: Growth, generator: torch.Generator) -> None:
    """Set the H/W branch of the language model's own layers, in place."""
    if growth.spatial == "released":
        return
    text = model.config.llm_config
    for layer in decoder_layers(model)[text.extra_num_layers :]:
        attention = layer.self_attn
        if growth.spatial == "random":
            for projection in (attention.q_proj_hw, attention.k_proj_hw):
                projection.weight.normal_(0, STD, generator=generator)
            continue
        quarters = attention.k_proj.weight.view(-1, 4, text.head_dim // 4, text.hidden_size)
        attention.k_proj_hw.weight.copy_(quarters[:, [0, 2, 0, 2]].reshape(attention.k_proj.weight.shape))
        for name in ("k_norm_h", "k_norm_w"):
            getattr(attention, name).weight.zero_()


def as_qwen3(model: NeoOVForConditionalGeneration) -> Qwen3ForCausalLM:
    """The Qwen3 that a native model without a pre-buffer and with spatial keys of zero is."""
    text = model.config.llm_config
    same = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "rms_norm_eps", "tie_word_embeddings", "max_position_embeddings",
            "pad_token_id", "eos_token_id", "bos_token_id")  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": text.rope_theta}
    config = Qwen3Config(**{key: getattr(text, key, None) for key in same}, rope_parameters=rope)
    qwen = Qwen3ForCausalLM(config)
    state = {name.removeprefix(_LANGUAGE): tensor for name, tensor in model.state_dict().items() if "_hw" not in name}
    qwen.load_state_dict({name: state[name] for name in qwen.state_dict()})
    return qwen.float().eval()

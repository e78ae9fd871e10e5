"""The candidates: random models of one shape in bf16, and for each the tensors that its processor would make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from cases import Case, Shape
from torch import Tensor, nn
from transformers import (
    Gemma4UnifiedConfig,
    Gemma4UnifiedForConditionalGeneration,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from pixelword import machine
from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration
from pixelword.model.attention import KERNELS
from pixelword.model.masks import Interval
from pixelword.model.rope import rotary_tables

#: Control tokens, at the start of every candidate's vocabulary; words are drawn from above them.
START, CONTEXT, VIDEO, END, WORDS = 1, 2, 3, 4, 16

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Candidate:
    build: Callable[[Shape], PreTrainedModel]
    inputs: Callable[[Case, Shape, torch.Generator], Inputs]


def prompt(case: Case, shape: Shape, generator: torch.Generator, video_id: int = CONTEXT) -> Inputs:
    """input_ids, attention_mask and mm_token_type_ids, each (batch, length): words, marked pictures, words."""
    visual = video_id if case.video else CONTEXT
    half = case.words // 2
    picture = torch.tensor([START] + [visual] * case.tokens_per_picture + [END])
    words = torch.zeros(half, dtype=torch.long)
    ids = torch.cat((words, picture.repeat(case.pictures), words))
    ids = ids.repeat(case.batch, 1)
    words = torch.randint(WORDS, shape.vocab_size, ids.shape, generator=generator)
    ids = torch.where(ids == 0, words, ids)
    types = (ids == visual).long() * (2 if case.video else 1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": types}


def pixels(rows: int, width: int, generator: torch.Generator) -> Tensor:
    """(rows, width) float32, as image processors return them."""
    return torch.randn(rows, width, generator=generator)


# --- ours, and the released forward in our module tree -------------------------------------------------------------


def config_ours(shape: Shape, **settings: Any) -> NeoOVConfig:
    return NeoOVConfig(
        vision_config={"hidden_size": shape.vision_hidden_size},
        llm_config=_text(shape) | {"extra_num_layers": shape.extra_num_layers},
        img_start_token_id=START,
        img_context_token_id=CONTEXT,
        img_end_token_id=END,
        **settings,
    )


def build_ours(shape: Shape) -> PreTrainedModel:
    return NeoOVForConditionalGeneration(config_ours(shape))


def inputs_ours(case: Case, shape: Shape, generator: torch.Generator) -> Inputs:
    side, pictures = 2 * case.side, case.batch * case.pictures
    grid = torch.tensor([[side, side]]).repeat(pictures, 1)
    return prompt(case, shape, generator) | {
        "pixel_values": pixels(pictures * side**2, 3 * 16 * 16, generator),
        "image_grid_hw": grid,
    }


def attend_dense(q: Tensor, k: Tensor, v: Tensor, visible: Interval, scale: float) -> Tensor:
    """The released attention: repeated keys, an L x K float32 mask added (so float32 scores), softmax, bf16 product."""
    mask = visible.__dict__.get("_float_mask")
    if mask is None:  # built once a forward, shared by the layers, as released
        seen = visible.dense(k.shape[2])
        mask = torch.where(seen, torch.tensor(0.0), torch.tensor(-torch.inf))
        object.__setattr__(visible, "_float_mask", mask)
    group = q.shape[1] // k.shape[1]
    keys, values = (x.repeat_interleave(group, 1) for x in (k, v))
    scores = torch.matmul(q, keys.transpose(2, 3)) * scale + mask
    return torch.matmul(scores.softmax(-1, dtype=torch.float32).to(q.dtype), values)


def build_dense(shape: Shape) -> PreTrainedModel:
    """Our modules with the released attention, mask and per-layer rotary tables; the rest stays ours, in its favour."""
    KERNELS["released"] = attend_dense
    model = build_ours(shape)
    text = model.config.llm_config
    # Past the public setter, which knows transformers' own kernels only.
    text._attn_implementation_internal = "released"
    positions: list[Tensor] = []

    def remember(_: nn.Module, args: tuple[Any, ...]) -> None:
        positions[:] = [args[1]]

    def fresh_tables(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, _tables, *rest = args
        tables = rotary_tables(positions[0], text.head_dim, text.rope_theta, text.rope_theta_hw, hidden.dtype)
        return hidden, tables, *rest

    decoder = model.get_decoder()
    decoder.register_forward_pre_hook(remember)
    for layer in decoder.layers:
        layer.self_attn.register_forward_pre_hook(fresh_tables)
    return model


# --- the modular peer -----------------------------------------------------------------------------------------------


def build_qwen3vl(shape: Shape) -> PreTrainedModel:
    depth, eighth = shape.vision_depth, shape.head_dim // 8
    text = _text(shape) | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True}}
    # Of head_dim / 2 frequencies: 24, 20, 20 at 128, as released.
    text["rope_parameters"]["mrope_section"] = [eighth * 4 - 2 * (eighth * 5 // 4), eighth * 5 // 4, eighth * 5 // 4]
    config = Qwen3VLConfig(
        text_config=text,
        vision_config={
            "depth": depth,
            "hidden_size": shape.vision_hidden_size,
            "intermediate_size": 4 * shape.vision_hidden_size,
            "num_heads": max(shape.vision_hidden_size // 64, 1),
            "out_hidden_size": shape.hidden_size,
            # 5, 11, 17 of 24, as released.
            "deepstack_visual_indexes": [depth * (i + 1) // 4 - (depth > 4) for i in range(3)],
        },
        image_token_id=CONTEXT,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
        tie_word_embeddings=True,
    )
    return Qwen3VLForConditionalGeneration(config)


def inputs_qwen3vl(case: Case, shape: Shape, generator: torch.Generator, pairs: bool = False) -> Inputs:
    """Equal visual tokens. Its patches hold two frames: a clip of equal tokens is twice as many frames, or with
    `pairs` the same frames in half the tokens."""
    if pairs:
        case = Case(case.name, case.title, case.batch, case.pictures // 2, case.side, True, case.words)
    side, pictures = 2 * case.side, case.batch * case.pictures
    patches = pixels(pictures * side**2, 3 * 2 * 16 * 16, generator)
    inputs = prompt(case, shape, generator, VIDEO)
    if case.video:
        grid = torch.tensor([[case.pictures, side, side]]).repeat(case.batch, 1)
        return inputs | {"pixel_values_videos": patches, "video_grid_thw": grid}
    return inputs | {"pixel_values": patches, "image_grid_thw": torch.tensor([[1, side, side]]).repeat(pictures, 1)}


# --- the native peer ------------------------------------------------------------------------------------------------


def build_gemma4(shape: Shape) -> PreTrainedModel:
    text = _text(shape)
    text["hidden_activation"] = "gelu_pytorch_tanh"
    text["global_head_dim"] = shape.head_dim
    layers = shape.num_hidden_layers
    # Its own pattern: five sliding layers, one full; the last is always full.
    full = [(i + 1) % 6 == 0 or i + 1 == layers for i in range(layers)]
    text["layer_types"] = ["full_attention" if x else "sliding_attention" for x in full]
    text |= {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    config = Gemma4UnifiedConfig(
        text_config=text,
        vision_config={"mm_embed_dim": shape.hidden_size, "output_proj_dims": shape.hidden_size},
        audio_config=None,
        boi_token_id=START,
        eoi_token_id=END,
        image_token_id=CONTEXT,
        video_token_id=VIDEO,
        boa_token_id=5,
        eoa_token_index=6,
        audio_token_id=7,
    )
    return Gemma4UnifiedForConditionalGeneration(config)


def inputs_gemma4(case: Case, shape: Shape, generator: torch.Generator) -> Inputs:
    """One token is 48 x 48 pixels: the same number of tokens from a picture 1.5 times as high and wide."""
    pictures, tokens = case.batch * case.pictures, case.tokens_per_picture
    patches = pixels(pictures * tokens, 3 * 48 * 48, generator).view(pictures, tokens, -1)
    index = torch.arange(tokens)
    places = torch.stack((index % case.side, index // case.side), -1).repeat(pictures, 1, 1)
    inputs = prompt(case, shape, generator, VIDEO)
    if case.video:
        frames = torch.tensor([case.pictures] * case.batch)
        return inputs | {"pixel_values_videos": patches, "video_position_ids": places, "num_frames_per_video": frames}
    return inputs | {"pixel_values": patches, "image_position_ids": places}


# --- the floor: a language model that reads as many tokens and as many bytes of weights ----------------------------


def build_text(shape: Shape) -> PreTrainedModel:
    """Qwen3 whose feed-forward is wider by exactly what our H and W projections weigh."""
    spatial = (shape.num_attention_heads + shape.num_key_value_heads) * shape.head_dim
    return Qwen3ForCausalLM(Qwen3Config(**_text(shape) | {"intermediate_size": shape.intermediate_size + spatial // 3}))


def inputs_text(case: Case, shape: Shape, generator: torch.Generator) -> Inputs:
    ids = torch.randint(WORDS, shape.vocab_size, (case.batch, case.length), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _text(shape: Shape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_key_value_heads,
        "head_dim": shape.head_dim,
        "tie_word_embeddings": True,
    }


BUILDERS: dict[str, Candidate] = {
    "ours": Candidate(build_ours, inputs_ours),
    "dense": Candidate(build_dense, inputs_ours),
    "qwen3vl": Candidate(build_qwen3vl, inputs_qwen3vl),
    "qwen3vl-pairs": Candidate(build_qwen3vl, lambda *a: inputs_qwen3vl(*a, pairs=True)),
    "gemma4": Candidate(build_gemma4, inputs_gemma4),
    "text": Candidate(build_text, inputs_text),
}


def load(candidate: str, shape: Shape, seed: int = 0) -> PreTrainedModel:
    """The candidate in the type that suits this CPU, ready to generate; built in it at once, so that loading leaves no
    higher peak behind."""
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    dtype = machine.training_dtype(machine.CPU)
    torch.set_default_dtype(dtype)
    try:
        model = BUILDERS[candidate].build(shape)
    finally:
        torch.set_default_dtype(before)
    assert {p.dtype for p in model.parameters()} == {dtype}, f"{candidate} has weights that are not {dtype}"
    model.generation_config.eos_token_id = None  # every answer is as long as asked
    model.generation_config.pad_token_id = 0
    return model.eval()

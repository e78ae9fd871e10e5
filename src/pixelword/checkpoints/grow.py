"""Grows a native model from a language model: its layers become the last layers; the rest is new.

The T branch, MLPs, norms, embeddings and head are the language model's. `q_proj_hw` begins as parts of `q_proj`,
`k_proj_hw` as zero, so that without a pre-buffer the text logits are the language model's own (NEO, section 3.3).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3ForCausalLM,
)

from pixelword.errors import CheckpointError, InputError
from pixelword.model.config import NeoOVConfig
from pixelword.model.meta import meta_model
from pixelword.model.modeling import NeoOVForConditionalGeneration

from .gguf import load_gguf
from .names import read_json
from .registry import Base, find, known
from .released import torch_dtype, verify

_FAMILIES: dict[str, type[PreTrainedModel]] = {"qwen3": Qwen3ForCausalLM, "llama": LlamaForCausalLM}
_LANGUAGE = "language_model."
_KEPT = ("input_layernorm", "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_SAME_KEYS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "bos_token_id", "pad_token_id"),
)
_KEPT_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
#: What `start="identity"` zeroes in the pre-buffer, so that its layers add nothing to the residual stream.
_OUTPUTS = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
#: Standard deviation of every new matrix, the patch embedding's convolutions too (their biases are zero).
STD = 0.02
#: In the released order: in Qwen3's vocabulary they are 151669, 151670, ….
GROUNDING = ("<IMG_CONTEXT>", "<img>", "</img>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
#: Qwen3 has these; a language model of another type may not.
CHAT = ("<|im_start|>", "<|im_end|>")
_CONFIG_KEYS = {
    "img_context_token_id": "<IMG_CONTEXT>",
    "img_start_token_id": "<img>",
    "img_end_token_id": "</img>",
}


def grow(
    language_model: str | Path | PreTrainedModel,
    *,
    extra_num_layers: int,
    start: Literal["released", "identity"] = "released",
    vision_hidden_size: int = 1024,
    min_pixels: int = 65536,
    max_pixels: int = 4194304,
    spare_tokens: Sequence[str] = (),
    text_bypasses_pre_buffer: bool = False,
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
    dtype: str | torch.dtype | None = None,
) -> tuple[NeoOVForConditionalGeneration, PreTrainedTokenizerBase | None]:
    """A native vision-language model, not yet trained on images, from a language model.

    Args:
        language_model: a Qwen3- or Llama-type model, or the folder or GGUF file of one; it is not changed.
        extra_num_layers: layers of the pre-buffer, put before the language model's own; 0 for none.
        start: "released": the pre-buffer's matrices are N(0, 0.02) and its norms 1, as published, which text does not
            survive untrained; "identity": its `o_proj` and `down_proj` are zero, so that text is answered as before.
        vision_hidden_size: channels inside the patch embedding, whose convolutions are N(0, 0.02) with zero biases.
        min_pixels, max_pixels: bounds of an image's area.
        spare_tokens: unused tokens of the tokenizer that become the control tokens, in order, instead of new ones.
        text_bypasses_pre_buffer: a departure from the released models; see `NeoOVTextConfig`.
        tokenizer: the language model's, where it is given as a model; a folder's own is read from it.
        seed: of the new parameters.
        dtype: of the result; None keeps the language model's.

    Returns:
        the model in evaluation mode, and the tokenizer with the control tokens (None where there is none).

    Raises:
        CheckpointError: the language model cannot be grown from: its type, biases, scaled rotary positions, a file.
        InputError: an argument that makes no model.
    """
    _check_arguments(extra_num_layers, start, vision_hidden_size)
    given = isinstance(language_model, PreTrainedModel)
    base = None
    if not isinstance(language_model, PreTrainedModel):
        base = known(Path(language_model))
        language_model, its_own = _read(Path(language_model), torch_dtype(dtype))
        tokenizer = tokenizer or its_own
    text = _text_config(language_model, extra_num_layers)
    kind = torch_dtype(dtype) or language_model.dtype
    tokenizer, ids = add_control_tokens(tokenizer, text["vocab_size"], spare_tokens)
    if tokenizer is not None:
        text["eos_token_id"] = _with_closing(text["eos_token_id"], tokenizer.get_vocab()["<|im_end|>"])
    text["text_bypasses_pre_buffer"] = text_bypasses_pre_buffer
    rows = max(text["vocab_size"], *(i + 1 for i in ids.values()), len(tokenizer) if tokenizer is not None else 0)
    text["vocab_size"] = rows
    config = NeoOVConfig(
        vision_config={"hidden_size": vision_hidden_size, "min_pixels": min_pixels, "max_pixels": max_pixels},
        llm_config=text,
        dtype=kind,
        img_context_token_id=ids["img_context_token_id"],
        img_start_token_id=ids["img_start_token_id"],
        img_end_token_id=ids["img_end_token_id"],
    )
    if base is not None:
        config.grown_from = base.package
    model = meta_model(config)
    state = inherited(language_model, config)
    generator = torch.Generator().manual_seed(seed)
    state |= _new(model, state, start, generator)
    if given:  # a model of the caller's keeps its tensors to itself
        state = {name: tensor.clone() for name, tensor in state.items()}
    return assembled(config, {name: tensor.to(kind) for name, tensor in state.items()}), tokenizer


def ungrown(base: Base, dtype: str | torch.dtype | None = None) -> NeoOVForConditionalGeneration:
    """A packaged language model itself, as a native model without a pre-buffer, in the tokens of those that grow from
    it. Raises CheckpointError where its package is missing."""
    return grow(find(base), **{**base.growth, "extra_num_layers": 0}, dtype=dtype)[0]


def _check_arguments(extra: int, start: str, vision_hidden_size: int) -> None:
    if extra < 0:
        raise InputError(f"extra_num_layers is {extra}: a pre-buffer has 0 layers or more")
    if start not in ("released", "identity"):
        raise InputError(f"start is {start!r}: use 'released' or 'identity'")
    if vision_hidden_size < 4 or vision_hidden_size % 4:
        raise InputError(
            f"vision_hidden_size is {vision_hidden_size}: it must be a multiple of 4, for its 2-D rotation"
        )


def _read(place: Path, dtype: torch.dtype | None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
    """The language model and its tokenizer, from a GGUF file or a folder."""
    if place.suffix == ".gguf" and not place.is_dir():
        return load_gguf(place, dtype)
    return _load_language_model(place, dtype), _load_tokenizer(place)


def _load_language_model(folder: Path, dtype: torch.dtype | None) -> PreTrainedModel:
    """A language model from its folder, by our own classes, checked tensor by tensor before it is loaded."""
    if not folder.is_dir():
        raise CheckpointError(
            f"no folder {folder}: give the folder of a Qwen3- or Llama-type checkpoint, or a .gguf file"
        )
    family = _family(read_json(folder / "config.json").get("model_type"), str(folder / "config.json"))
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            shapes = family(config)
    except Exception as error:  # transformers' configurations raise many types; all mean that this one is unusable
        raise CheckpointError(f"{folder / 'config.json'} makes no {family.__name__} ({error}); mend it") from error
    _text_config(shapes, 0)  # refuses what cannot be grown from before gigabytes are read
    verify(folder, shapes, ignored=lambda name: name.endswith("rotary_emb.inv_freq"))
    return family.from_pretrained(folder, dtype=dtype or "auto", use_safetensors=True, local_files_only=True)


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "tokenizer.model")):
        return None
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # as above
        raise CheckpointError(f"{folder}: its tokenizer cannot be loaded ({error}); copy its files again") from error


def _family(model_type: str | None, where: str) -> type[PreTrainedModel]:
    if model_type == NeoOVConfig.model_type:
        raise CheckpointError(f"{where}: this is a native model already; a language model is needed to grow one")
    if model_type not in _FAMILIES:
        raise CheckpointError(
            f"{where}: model_type is {model_type!r}; a native model grows from one of {', '.join(sorted(_FAMILIES))}"
        )
    return _FAMILIES[model_type]


def _text_config(model: PreTrainedModel, extra: int) -> dict[str, Any]:
    """The keys of `NeoOVTextConfig` for this language model under a pre-buffer. Raises CheckpointError."""
    config = model.config
    _family(config.model_type, type(model).__name__)
    if not isinstance(model, tuple(_FAMILIES.values())):
        raise CheckpointError(f"{type(model).__name__} has no language head: give one of the ForCausalLM classes")
    for key in ("attention_bias", "mlp_bias", "use_sliding_window"):
        if getattr(config, key, False):
            raise CheckpointError(f"the language model has {key} = true, which a native layer has no place for")
    rotary = config.rope_parameters or {}
    if rotary.get("rope_type", "default") != "default":
        raise CheckpointError(
            f"the language model scales its rotary positions ({rotary.get('rope_type')!r}), which Native-RoPE does "
            f"not define: take a checkpoint without rope_scaling"
        )
    if config.hidden_act != "silu" or config.head_dim % 4:
        raise CheckpointError(
            f"the language model has hidden_act {config.hidden_act!r} and head_dim {config.head_dim}; a native layer "
            f"needs 'silu' and a multiple of 4"
        )
    return {
        **{key: getattr(config, key) for key in _SAME_KEYS},
        "eos_token_id": _generation_eos(model),
        "num_hidden_layers": config.num_hidden_layers + extra,
        "extra_num_layers": extra,
        "rope_theta": rotary["rope_theta"],
        "qk_norm": config.model_type == "qwen3",
    }


def _generation_eos(model: PreTrainedModel) -> int | list[int] | None:
    """End-of-answer tokens: the generation settings are more reliable than the configuration."""
    generation = getattr(model, "generation_config", None)
    return getattr(generation, "eos_token_id", None) or model.config.eos_token_id


def _with_closing(eos: int | list[int] | None, closing: int) -> int | list[int]:
    known = [] if eos is None else [eos] if isinstance(eos, int) else list(eos)
    every = [*known, closing] if closing not in known else known
    return every[0] if len(every) == 1 else every


def inherited(language_model: PreTrainedModel, config: NeoOVConfig) -> dict[str, Tensor]:
    """What the language model gives to a native model of this configuration, under the released names.

    Besides its own tensors, shared and not copied, that are the H and W projections' and norms' starts.
    """
    text, source = config.llm_config, language_model.state_dict()
    rows = text.vocab_size
    state = {f"{_LANGUAGE}model.embed_tokens.weight": _with_rows(source["model.embed_tokens.weight"], rows)}
    state[f"{_LANGUAGE}model.norm.weight"] = source["model.norm.weight"]
    if not text.tie_word_embeddings:
        state[f"{_LANGUAGE}lm_head.weight"] = _with_rows(source["lm_head.weight"], rows)
    attention = _KEPT_ATTENTION + (("q_norm", "k_norm") if text.qk_norm else ())
    for i in range(text.num_hidden_layers - text.extra_num_layers):
        old, new = f"model.layers.{i}.", f"{_LANGUAGE}model.layers.{i + text.extra_num_layers}."
        for name in (*_KEPT, *(f"self_attn.{part}" for part in attention)):
            state[f"{new}{name}.weight"] = source[f"{old}{name}.weight"]
        query, key = (source[f"{old}self_attn.{which}_proj.weight"] for which in "qk")
        state[f"{new}self_attn.q_proj_hw.weight"] = _spatial_query(query, text.head_dim)
        state[f"{new}self_attn.k_proj_hw.weight"] = torch.zeros_like(key)
        for which in ("q_norm_h", "q_norm_w", "k_norm_h", "k_norm_w"):
            state[f"{new}self_attn.{which}.weight"] = torch.ones(text.head_dim // 2)
    return state


def _spatial_query(query: Tensor, head_dim: int) -> Tensor:
    """(heads * head_dim, in): of each head's four quarters the 1st and 3rd for H, and the same again for W.

    A rotation pairs the first half of a head with its second: the two quarters are the first parts of both.
    """
    quarters = query.view(-1, 4, head_dim // 4, query.shape[1])
    return quarters[:, [0, 2, 0, 2]].reshape(query.shape)


def _with_rows(table: Tensor, rows: int) -> Tensor:
    """The table with mean rows up to `rows`: a new token begins as nothing in particular."""
    if rows <= len(table):
        return table
    mean = table.float().mean(0, keepdim=True).to(table.dtype)
    return torch.cat((table, mean.expand(rows - len(table), -1)))


def _new(model: torch.nn.Module, known: dict[str, Tensor], start: str, generator: torch.Generator) -> dict[str, Tensor]:
    """Every parameter that no language model gives: matrices N(0, 0.02), norms 1, biases 0; see `start` of `grow`."""
    fresh: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if name in known:
            continue
        silent = name.endswith("bias") or (start == "identity" and name.endswith(_OUTPUTS))
        if silent or parameter.ndim == 1:
            fresh[name] = torch.full(parameter.shape, float(not silent))
        else:
            fresh[name] = torch.empty(parameter.shape).normal_(0, STD, generator=generator)
    return fresh


def assembled(config: NeoOVConfig, state: dict[str, Tensor]) -> NeoOVForConditionalGeneration:
    """The network with these tensors as its parameters, without a copy."""
    model = meta_model(config)
    tied = {"language_model.lm_head.weight": state["language_model.model.embed_tokens.weight"]}
    model.load_state_dict(state | tied if config.tie_word_embeddings else state, assign=True)
    model.tie_weights()
    return model.eval()


def add_control_tokens(
    tokenizer: PreTrainedTokenizerBase | None, vocab_size: int, spare_tokens: Sequence[str] = ()
) -> tuple[PreTrainedTokenizerBase | None, dict[str, int]]:
    """A copy of the tokenizer that has every control token, and the ids that `NeoOVConfig` wants.

    A token that is there keeps its id. The others take the places of `spare_tokens`, in order, and then new ids.
    Without a tokenizer the ids are `NeoOVConfig`'s own where `vocab_size` reaches that far, else the next after it.

    Raises:
        CheckpointError: not a fast tokenizer.
        InputError: `spare_tokens` without a tokenizer, or that are not unused tokens of it.
    """
    if tokenizer is None:
        if spare_tokens:
            raise InputError(
                "spare_tokens name tokens of a tokenizer, but none was found: put its files into the folder"
            )
        released = NeoOVConfig()
        ids = {key: int(getattr(released, key)) for key in _CONFIG_KEYS}
        if max(ids.values()) < vocab_size:
            return None, ids
        return None, {key: vocab_size + i for i, key in enumerate(_CONFIG_KEYS)}
    if not tokenizer.is_fast:
        raise CheckpointError(f"{type(tokenizer).__name__} is not a fast tokenizer: give one with a tokenizer.json")
    known = tokenizer.get_vocab()
    missing = [token for token in (*GROUNDING, *CHAT) if token not in known]
    renamed = dict(zip(spare_tokens, missing, strict=False))
    for spare in spare_tokens:
        if spare not in known or spare in (*GROUNDING, *CHAT):
            raise InputError(f"spare token {spare!r} is not an unused token of this tokenizer: name others")
    grown = _renamed(tokenizer, renamed) if renamed else copy.deepcopy(tokenizer)
    grown.add_tokens(missing[len(renamed) :], special_tokens=True)
    return grown, {key: grown.get_vocab()[token] for key, token in _CONFIG_KEYS.items()}


def _renamed(tokenizer: PreTrainedTokenizerBase, names: dict[str, str]) -> PreTrainedTokenizerBase:
    """A tokenizer in which some tokens have other names, and are control tokens; their ids stay."""
    state: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    for old, new in names.items():
        number = tokenizer.convert_tokens_to_ids(old)
        if isinstance(vocabulary, dict):
            vocabulary.pop(old, None)
            vocabulary[new] = number
        else:  # Unigram: pairs of a token and its score, by id
            vocabulary[number][0] = new
        plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        state["added_tokens"] = [item for item in state["added_tokens"] if item["id"] != number]
        state["added_tokens"].append({"id": number, "content": new, **plain, "special": True})
    state["added_tokens"].sort(key=lambda item: item["id"])
    kept = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        chat_template=tokenizer.chat_template,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
        **kept,
    )

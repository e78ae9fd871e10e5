"""Language models out of GGUF files: their weights as floats, their tokenizer, their chat template.

Tensors come back under transformers' names. llama.cpp stores the q and k rows of Llama-type models in another order
(its rotation turns neighbours, transformers' turns halves), so they are put back. Nothing but numbers and strings is
read from such a file, and nothing in it is run.

The header is read here: gguf's own reader makes arrays of every string of a vocabulary, which takes longer than all
weights do. The format: magic, version, counts; keys with typed values; names, shapes, types and offsets of tensors;
aligned, their bytes.
"""

from __future__ import annotations

import importlib.util
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from pixelword.errors import CheckpointError
from pixelword.extras import install_command

_FAMILIES: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}
_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    **{f"attn_{which}": f"self_attn.{which}_proj" for which in "qkv"},
    **{f"attn_{which}_norm": f"self_attn.{which}_norm" for which in "qk"},
    "attn_output": "self_attn.o_proj",
    **{f"ffn_{which}": f"mlp.{which}_proj" for which in ("gate", "up", "down")},
}
#: Keys after which a file holds another network than the two families are, and what they say.
_REFUSED = {
    "expert_count": "is a mixture of experts",
    "rope.scaling.type": "scales its rotary positions",
    "attention.sliding_window": "has a sliding window",
}
_CONTROL, _USER_DEFINED = 3, 4  # llama.cpp's types of tokens
_ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_STRING, _ARRAY = 8, 9
#: struct's letters of the scalar types, by their numbers.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_ALIGNMENT = 32  # where general.alignment does not say otherwise


def load_gguf(
    path: str | Path, dtype: torch.dtype | None = None, *, tokenizer: bool = True
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
    """The language model of a GGUF file as one of transformers', in evaluation mode, and its tokenizer.

    Args:
        path: of a Llama- or Qwen3-type model with a byte-level tokenizer, in any quantization that `gguf` supports.
        dtype: of the weights; float32 by default, which holds every quantized number exactly.
        tokenizer: whether to make one; else None.

    Raises:
        CheckpointError: the package gguf or the file is missing, or the file is damaged or of another type.
    """
    path = Path(path)
    content = _content(path)
    header = read_header(content, path)
    fields = header.values
    architecture = _value(fields, "general.architecture", path)
    if architecture not in _FAMILIES:
        raise CheckpointError(f"{path} holds a {architecture!r} model; one of {', '.join(_FAMILIES)} is needed")
    for key, what in _REFUSED.items():
        if _given(fields, f"{architecture}.{key}") not in (None, 0, "none"):
            raise CheckpointError(f"{path} {what} ({architecture}.{key}), which a native layer does not: take another")
    tokens = _value(fields, "tokenizer.ggml.tokens", path)
    state = {_name(name, path): torch.from_numpy(item) for name, item in read_tensors(content, header, path).items()}
    config_class, model_class = _FAMILIES[architecture]
    config = config_class(**_config(fields, path, architecture, len(tokens), "lm_head.weight" not in state))
    state = _unpermuted(state, config) if architecture == "llama" else state
    model = _assembled(model_class, config, state, path)
    words = _tokenizer(fields, tokens, path, config.max_position_embeddings) if tokenizer else None
    return model.to(dtype or torch.float32).eval(), words


def _content(path: Path) -> np.ndarray:
    """The file's bytes, read as they are needed."""
    if importlib.util.find_spec("gguf") is None:
        raise CheckpointError(f"{path} needs the package gguf: {install_command('mini')}")
    if not path.is_file():
        raise CheckpointError(f"no file {path}: give the path of a .gguf file")
    if not path.stat().st_size:
        raise CheckpointError(f"{path} is not a whole GGUF file (it is empty): copy it again")
    return np.memmap(path, mode="r")


def _given(fields: Mapping[str, Any], key: str) -> Any:
    return fields.get(key)


def _value(fields: Mapping[str, Any], key: str, path: Path) -> Any:
    found = _given(fields, key)
    if found is None:
        raise CheckpointError(f"{path} does not say {key}: take a file that llama.cpp's converter made")
    return found


def _name(name: str, path: Path) -> str:
    if name in _WHOLE:
        return _WHOLE[name]
    inside = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if inside is None or inside[2] not in _IN_LAYER:
        raise CheckpointError(f"{path} has a tensor {name!r}, for which a native layer has no place: take another")
    return f"model.layers.{inside[1]}.{_IN_LAYER[inside[2]]}.weight"


def _config(fields: Mapping[str, Any], path: Path, architecture: str, rows: int, tied: bool) -> dict[str, Any]:
    def number(key: str) -> Any:
        return _value(fields, f"{architecture}.{key}", path)

    heads, width = number("attention.head_count"), number("embedding_length")
    head = _given(fields, f"{architecture}.attention.key_length")
    theta = _given(fields, f"{architecture}.rope.freq_base") or 10000.0
    return {
        "vocab_size": rows,
        "hidden_size": width,
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _given(fields, f"{architecture}.attention.head_count_kv") or heads,
        "head_dim": head or width // heads,
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": _shortest(number("attention.layer_norm_rms_epsilon")),
        "rope_parameters": {"rope_type": "default", "rope_theta": _shortest(theta)},
        "tie_word_embeddings": tied,
        **{
            f"{role}_id": _given(fields, f"tokenizer.ggml.{_ROLES[role]}_token_id") for role in _ROLES if role[0] != "u"
        },
    }


def _shortest(single: float) -> float:
    """The number that was meant: files keep single precision, in which 1e-5 reads 9.999999747e-06."""
    return float(str(np.float32(single)))


def _unpermuted(state: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
    """q and k rows of each head as two halves again, from llama.cpp's pairs of neighbours."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weight in state.items():
        count = heads.get(name.split(".")[-2])
        if count:
            pairs = weight.reshape(count, -1, 2, weight.shape[-1])
            state[name] = pairs.transpose(1, 2).reshape(weight.shape)
    return state


def _assembled(model_class: Any, config: Any, state: dict[str, Tensor], path: Path) -> PreTrainedModel:
    with torch.device("meta"):
        model = model_class(config)
    wanted = {name: tuple(item.shape) for name, item in model.state_dict().items()}
    if config.tie_word_embeddings:
        state = {**state, "lm_head.weight": state.get("model.embed_tokens.weight", torch.empty(0))}
    wrong = sorted(
        name for name in {*wanted, *state} if wanted.get(name) != tuple(state.get(name, torch.empty(0)).shape)
    )
    if wrong:
        raise CheckpointError(f"{path}: {wrong[0]} is missing or has another shape than the file says: copy it again")
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its frequencies are not weights: still on meta
    return model


def _tokenizer(fields: Mapping[str, Any], tokens: list[str], path: Path, longest: int) -> PreTrainedTokenizerBase:
    """A byte-level tokenizer as the file describes it; see `_split` for where it cuts words."""
    kind = _given(fields, "tokenizer.ggml.model")
    if kind != "gpt2":
        raise CheckpointError(f"{path} has a tokenizer of type {kind!r}: one of bytes ('gpt2') is needed")
    pairs = [tuple(merge.split(" ")) for merge in _value(fields, "tokenizer.ggml.merges", path)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    backend.pre_tokenizer = _split(_given(fields, "tokenizer.ggml.pre"), path)
    backend.decoder = decoders.ByteLevel()
    types = _given(fields, "tokenizer.ggml.token_type") or []
    for number, which in enumerate(types):
        if which in (_CONTROL, _USER_DEFINED):
            special = which == _CONTROL
            (backend.add_special_tokens if special else backend.add_tokens)(
                [AddedToken(tokens[number], normalized=False, special=special)]
            )
    ids = {role: _given(fields, f"tokenizer.ggml.{name}_token_id") for role, name in _ROLES.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=_given(fields, "tokenizer.chat_template"),
        model_max_length=longest,
        clean_up_tokenization_spaces=False,
        **{role: tokens[number] for role, number in ids.items() if number is not None},
    )


def _split(kind: str | None, path: Path) -> Any:
    """Where words are cut before bytes are merged, by llama.cpp's name for it.

    smollm cuts every digit off first, as SmolLM2's own tokenizer.json does; transformers' reading of the file leaves
    that out, which shows where several spaces stand before a number.
    """
    if kind in ("qwen2", "llama-bpe"):
        cut = pre_tokenizers.Split(Regex(_QWEN2 if kind == "qwen2" else _LLAMA3), behavior="isolated")
        return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if kind == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    if kind in ("gpt-2", "default", None):
        return plain
    raise CheckpointError(f"{path} cuts words as {kind!r}; known are smollm, gpt-2, llama-bpe and qwen2: take another")


@dataclass(frozen=True)
class Header:
    """The keys with their values (arrays as lists), and per tensor its shape, outermost axis first, type and place."""

    values: dict[str, Any]
    tensors: dict[str, tuple[tuple[int, ...], int, int]]


class _Cursor:
    """A place in the file's bytes that moves on with what is read."""

    def __init__(self, content: np.ndarray) -> None:
        self.content, self.place = content.data, 0

    def numbers(self, letters: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{letters}", self.content, self.place)
        self.place += struct.calcsize(f"<{letters}")
        return found

    def string(self) -> str:
        (length,) = self.numbers("Q")
        begin, self.place = self.place, self.place + length
        if self.place > len(self.content):
            raise ValueError(f"a string of {length:,} bytes goes beyond its end")
        return str(self.content[begin : self.place], "utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.numbers(_SCALARS[kind])[0]
        inner, length = self.numbers("IQ")
        if inner in _SCALARS:
            return list(self.numbers(f"{length}{_SCALARS[inner]}"))
        return [self.value(inner) for _ in range(length)]


def read_header(content: np.ndarray, path: Path) -> Header:
    """Read the header of a file's bytes, (size,) uint8. Raises CheckpointError: not a complete GGUF file."""
    cursor = _Cursor(content)
    try:
        if bytes(content[:4]) != _MAGIC:
            raise ValueError(f"it begins with {bytes(content[:4])!r}")
        _, version, tensors, keys = cursor.numbers("4sIQQ")
        if version not in _VERSIONS:
            raise ValueError(f"version {version}; known are {_VERSIONS}")
        values: dict[str, Any] = {}
        for _ in range(keys):
            name = cursor.string()
            values[name] = cursor.value(cursor.numbers("I")[0])
        found = {}
        for _ in range(tensors):
            name = cursor.string()
            shape = cursor.numbers(f"{cursor.numbers('I')[0]}Q")[::-1]
            found[name] = (shape, *cursor.numbers("IQ"))
    except (struct.error, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a whole GGUF file ({error}): copy it again") from error
    step = values.get("general.alignment", _ALIGNMENT)
    start = math.ceil(cursor.place / step) * step
    return Header(values, {name: (shape, kind, start + offset) for name, (shape, kind, offset) in found.items()})


def read_tensors(content: np.ndarray, header: Header, path: Path) -> dict[str, np.ndarray]:
    """Every tensor in float32, dequantized; arrays of their own. Raises CheckpointError: a type, a truncated file."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quant_shape_to_byte_shape

    numbers: dict[str, np.ndarray] = {}
    for name, (shape, kind, begin) in header.tensors.items():
        try:
            known = GGMLQuantizationType(kind)
            rows = quant_shape_to_byte_shape(shape, known)
            end = begin + math.prod(rows)
            if end > len(content):
                raise ValueError(f"it is truncated: {len(content):,} bytes of {end:,}")
            # a copy: plain floats would be a view of the file, which may go away
            numbers[name] = np.array(dequantize(content[begin:end].reshape(rows), known), dtype=np.float32)
        except (NotImplementedError, ValueError) as error:
            raise CheckpointError(f"{path}: {name} cannot be read ({error}): copy it again, or take another") from error
    return numbers

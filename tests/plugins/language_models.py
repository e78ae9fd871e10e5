"""A tiny language model as transformers and as llama.cpp write it, and packaged as SmolLM2 is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

#: Of the tiny language model: control tokens, one of them spare.
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<spare>")


def make_language_model(family: str = "llama", **settings: Any) -> Any:
    """A tiny Llama- or Qwen3-type model of transformers', with the tokens of `vocabulary`."""
    families = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}
    config, cls = families[family]
    shape = {
        "vocab_size": len(vocabulary()),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e4},
        "tie_word_embeddings": True,
        **settings,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cls(config(**shape)).eval()
        for parameter in model.parameters():
            torch.nn.init.uniform_(parameter, -0.5, 1.5) if parameter.ndim == 1 else torch.nn.init.normal_(parameter)
    return model


def vocabulary() -> list[str]:
    """The control tokens, 256 bytes as their letters, and two merges."""
    return [*CONTROL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġt", "he"]


def permuted(weight: Any, heads: int) -> Any:
    """llama.cpp's order of q and k rows, as its converter makes it."""
    return weight.reshape(heads, 2, -1, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)


#: llama.cpp's names of a layer's parts and of the rest.
NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.o_proj": "attn_output"}
NAMES |= {f"self_attn.{which}_proj": f"attn_{which}" for which in "qkv"}
NAMES |= {f"self_attn.{which}_norm": f"attn_{which}_norm" for which in "qk"}
NAMES |= {f"mlp.{which}_proj": f"ffn_{which}" for which in ("gate", "up", "down")}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf_file(path: Path, model: Any, kind: str | None = None, pre: str = "smollm", **more: Any) -> Path:
    """The model as llama.cpp's converter would write it, its matrices quantized to `kind` where one is given."""
    gguf = pytest.importorskip("gguf", reason="GGUF files are read by the package gguf, of the extra mini")
    config, family = model.config, model.config.model_type
    out = gguf.GGUFWriter(path, family)
    out.add_block_count(config.num_hidden_layers)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_key_length(config.head_dim)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(pre)
    out.add_token_list(vocabulary())
    out.add_token_types([3 if token in CONTROL else 1 for token in vocabulary()])
    out.add_token_merges(["Ġ t", "h e"])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_pad_token_id(2)
    out.add_chat_template("{{ messages }}")
    for key, value in more.items():
        out.add_string(key.replace("__", "."), value)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        numbers, module = tensor.numpy(), name.removesuffix(".weight")
        if family == "llama" and module.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if module.endswith("q_proj") else config.num_key_value_heads
            numbers = permuted(numbers, heads)
        layer = module.split(".", 3)
        called = WHOLE.get(module) or f"blk.{layer[2]}.{NAMES[layer[3]]}"
        if kind is not None and tensor.ndim == 2:
            numbers = gguf.quants.quantize(numbers, gguf.GGMLQuantizationType[kind])
            out.add_tensor(f"{called}.weight", numbers, raw_dtype=gguf.GGMLQuantizationType[kind])
        else:
            out.add_tensor(f"{called}.weight", numbers)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


@pytest.fixture(scope="session")
def language_model() -> Callable[..., Any]:
    """`language_model("qwen3", tie_word_embeddings=False)`."""
    return make_language_model


@pytest.fixture(scope="session")
def write_gguf() -> Callable[..., Path]:
    """`write_gguf(path, model, kind="Q8_0", pre="smollm")`."""
    return write_gguf_file


@pytest.fixture
def tiny_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `Base` in an installed package: the tiny language model, quantized, known by the name tiny-lm."""
    from pixelword.checkpoints.registry import BASES, Base
    from pixelword.utils.files import sha256

    site = tmp_path / "site"
    (site / "tiny_lm").mkdir(parents=True)
    about = site / "tiny_lm-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-lm\nVersion: 1.0\n")
    path = write_gguf_file(site / "tiny_lm" / "model.gguf", make_language_model(), kind="Q8_0")
    growth = {"extra_num_layers": 1, "start": "identity", "vision_hidden_size": 16, "spare_tokens": ("<spare>",)}
    base = Base("tiny-lm", "1.0", "tiny_lm/model.gguf", sha256(path), growth)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(BASES, "tiny-lm", base)
    return base

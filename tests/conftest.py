"""What all tests share: a tiny model with its tokenizer, a tiny stage, and leaving out what this machine cannot run."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<IMG_CONTEXT>", "<img>", "</img>")
SPECIALS += ("<ref>", "</ref>", "<box>", "</box>")
CONTEXT = 2048


def pytest_configure() -> None:
    """Workers of pytest-xdist share the cores: one thread for each, and for what it starts."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and there is none"))


@pytest.fixture(autouse=True)
def scheduling_stays() -> Iterator[None]:
    """A test that leaves its process real-time, as some encoders do for root, would starve every later one."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_FIFO:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail("the test left its process with a real-time priority")


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of bytes: 256 of them and the control tokens after them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={character: index for index, character in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIALS))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")


@pytest.fixture(scope="session")
def tiny_config(tiny_tokenizer: PreTrainedTokenizerFast) -> Any:
    """A NeoOVConfig of two layers, the first of them pre-buffer."""
    from pixelword.model import NeoOVConfig

    ids = {token: tiny_tokenizer.convert_tokens_to_ids(token) for token in SPECIALS}
    return NeoOVConfig(
        vision_config={"hidden_size": 16, "min_pixels": 1024, "max_pixels": 16384},
        llm_config={
            "vocab_size": len(tiny_tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "extra_num_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "max_position_embeddings": CONTEXT,
            # far from uniform, so that what is asked changes what is answered
            "initializer_range": 0.5,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        img_context_token_id=ids["<IMG_CONTEXT>"],
        img_start_token_id=ids["<img>"],
        img_end_token_id=ids["</img>"],
    )


@pytest.fixture(scope="session")
def tiny_model_dir(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast, tiny_config: Any
) -> Path:
    """A whole checkpoint with random weights, as ``pixelword convert`` would write it. Not to be written to."""
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.image_processor import NeoOVImageProcessor
    from pixelword.processing.processor import NeoOVProcessor

    folder = tmp_path_factory.mktemp("models") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NeoOVForConditionalGeneration(tiny_config)
    model.generation_config.max_new_tokens = 64  # random weights seldom end an answer
    model.save_pretrained(folder)
    images = NeoOVImageProcessor(min_pixels=1024, max_pixels=16384)
    NeoOVProcessor(images, tiny_tokenizer).save_pretrained(folder)
    return folder


#: A stage small enough to train in a test: three layers, two rows, and everything the real ones have.
TINY = """\
stage: tiny
out: {out}
tokenizer: nano
model:
  config:
    vision_config: {{hidden_size: 16, min_pixels: 4096, max_pixels: 4096}}
    llm_config:
      hidden_size: 32
      intermediate_size: 48
      num_hidden_layers: 3
      extra_num_layers: 1
      num_attention_heads: 2
      num_key_value_heads: 1
      head_dim: 16
data: {{mixture: {{colour: 1, count: 1, text: 1}}, level: [[0, 0], [1, 1]], turns: 2, rows: 2, length: 128, workers: 0}}
optimizer: {{name: muon, lr: 3e-3, muon_lr: 3e-3}}
schedule: {{kind: wsd, warmup: 2, decay: 0.5}}
steps: 6
attention: eager
precision: fp32
export: fp32
checkpoint: {{every: 3, keep: 9}}
log_every: 1
seed: 5
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Any]:
    """tiny("steps=2", out="name"): the small stage, changed, in its own folder."""

    from pixelword.training.recipe_file import load_recipe

    def make(*overrides: str, out: str = "run") -> Any:
        path = tmp_path / "tiny.yaml"
        path.write_text(TINY.format(out=tmp_path / out))
        return load_recipe(path, overrides)

    return make


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """The file of the small stage, whose run goes to a folder `run` beside it."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(out=tmp_path / "run"))
    return path


@pytest.fixture(scope="session")
def square_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packs `emoji`, `openmoji` and `stamps`: plain squares of 30 colours under names of the vocabulary.

    What one pack holds out, another teaches. Not to be written to.
    """
    from pixelword.tasks.assets import write_pack
    from pixelword.tasks.things import concepts

    folder = tmp_path_factory.mktemp("squares")
    names = [one.name for one in concepts().values() if one.kind in ("animal", "vehicle") and one.pictures][:30]
    for number, pack in enumerate(("emoji", "openmoji", "stamps")):
        items = []
        for place, name in enumerate(names):
            file = io.BytesIO()
            rgb = (place % 3 * 127, place // 3 % 3 * 127, place // 9 * 63)
            Image.new("RGBA", (64, 64), (*rgb, 255)).save(file, "PNG")
            split = "test" if (place + number) % 3 == 0 else "train"
            key = concepts()[name].pictures[0] if pack != "stamps" else f"folder/{name}"
            item = {"key": key, "label": f"A {name}.", "file": f"{place}.png", "split": split}
            items.append((item, {f"{place}.png": file.getvalue()}))
        write_pack(folder / f"{pack}.zip", items, licences={"drawn here": "CC0"})
    return folder


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

"""What the tests of both distributions share: a tiny model with its tokenizer, a tiny stage, and what is skipped here.

More of it is in `tests/plugins/`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

pytest_plugins = ("asset_packs", "chromium", "command_line", "language_models", "loopback_hub", "pointing_model")
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


@pytest.fixture(autouse=True, scope="module")
def nothing_is_compiled_before() -> None:
    """Shapes that one file compiled for would make another's dynamic, and for some dynamic shapes torch 2.13 writes
    flex attention for CPUs that does not compile (an undeclared `cur_kvSplitSize8`)."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


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


@pytest.fixture
def session(tiny_model_dir: Path) -> Any:
    """A `Session` with the tiny model."""
    import pixelword

    return pixelword.load(str(tiny_model_dir), device="cpu")

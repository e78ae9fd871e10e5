"""A tiny network with random weights, and prompts for it written as what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration

VOCABULARY, START, CONTEXT, END = 64, 60, 61, 62
#: A number is so many tokens of text, a pair a picture of (height, width) visual tokens.
Part = int | tuple[int, int]
Inputs = dict[str, Tensor]


def make_config(**text: Any) -> NeoOVConfig:
    llm = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "extra_num_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        **text,
    }
    ids = {"img_start_token_id": START, "img_context_token_id": CONTEXT, "img_end_token_id": END}
    return NeoOVConfig(vision_config={"hidden_size": 16}, llm_config=llm, **ids)  # type: ignore[arg-type]


def make_model(seed: int = 0, **text: Any) -> NeoOVForConditionalGeneration:
    """Weights large enough, and norms uneven enough, that no part can be left out unnoticed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = NeoOVForConditionalGeneration(make_config(**text))
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
            else:
                torch.nn.init.normal_(parameter, 0, 1 if "embed_tokens" in name else 0.15)
    return model.eval()


def make_prompt(*parts: Part, seed: int = 0) -> Inputs:
    """One row: input_ids (1, L), attention_mask, and the patches of its pictures where it has any."""
    generator = torch.Generator().manual_seed(seed)
    ids: list[int] = []
    grids: list[tuple[int, int]] = []
    for part in parts:
        if isinstance(part, int):
            ids += torch.randint(1, START, (part,), generator=generator).tolist()
        else:
            ids += [START, *[CONTEXT] * (part[0] * part[1]), END]
            grids.append((2 * part[0], 2 * part[1]))
    prompt = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    if grids:
        prompt["image_grid_hw"] = torch.tensor(grids)
        patches = int(prompt["image_grid_hw"].prod(-1).sum())
        prompt["pixel_values"] = torch.randn(patches, 768, generator=generator)
    return prompt


def make_batch(prompts: Sequence[Inputs], side: str = "left") -> Inputs:
    """Rows padded to the longest, their pictures one after another."""
    length = max(item["input_ids"].shape[1] for item in prompts)
    batch = {}
    for name in ("input_ids", "attention_mask"):
        rows = []
        for item in prompts:
            pad = length - item[name].shape[1]
            rows.append(torch.nn.functional.pad(item[name], (pad, 0) if side == "left" else (0, pad)))
        batch[name] = torch.cat(rows)
    for name in ("pixel_values", "image_grid_hw"):
        held = [item[name] for item in prompts if name in item]
        if held:
            batch[name] = torch.cat(held)
    return batch


@pytest.fixture(scope="session")
def _shared_model() -> NeoOVForConditionalGeneration:
    return make_model()


@pytest.fixture
def model(_shared_model: NeoOVForConditionalGeneration) -> Iterator[NeoOVForConditionalGeneration]:
    """The tiny network, which a test leaves as it was; for changes there is `fresh_model`."""
    before = {name: parameter._version for name, parameter in _shared_model.named_parameters()}
    yield _shared_model
    _shared_model.set_attn_implementation("sdpa")
    _shared_model.eval()
    assert before == {name: parameter._version for name, parameter in _shared_model.named_parameters()}


@pytest.fixture(scope="session")
def fresh_model() -> Callable[..., NeoOVForConditionalGeneration]:
    """`fresh_model(seed=0, **text_config)`: a network of the test's own."""
    return make_model


@pytest.fixture(scope="session")
def prompt() -> Callable[..., Inputs]:
    """`prompt(5, (2, 3), 4, seed=0)`: five words, a picture of 2 x 3 visual tokens, four words."""
    return make_prompt


@pytest.fixture(scope="session")
def batch() -> Callable[..., Inputs]:
    """`batch([prompt(…), …], side="left")`."""
    return make_batch

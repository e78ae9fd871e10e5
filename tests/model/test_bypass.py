"""Where text passes the pre-buffer by: words are answered as without one, pictures go through it as before."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from pixelword.checkpoints.grow import grow

TIGHT = {"rtol": 1e-4, "atol": 2e-5}
Prompt = Callable[..., dict[str, Tensor]]


@pytest.fixture(scope="module")
def bypassed(fresh_model: Any) -> Any:
    """Two of four layers are pre-buffer, with weights that change whatever passes through."""
    return fresh_model(num_hidden_layers=4, extra_num_layers=2, text_bypasses_pre_buffer=True)


@pytest.fixture
def pictured(prompt: Prompt) -> dict[str, Tensor]:
    return prompt(3, (2, 3), 4, (1, 2), 5, seed=6)


@torch.no_grad()
def test_text_is_the_language_models_own_whatever_the_pre_buffer_does() -> None:
    torch.manual_seed(0)
    shape = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_hidden_layers": 2}
    language = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, **shape)).eval()
    native, _ = grow(language, extra_num_layers=2, vision_hidden_size=16, text_bypasses_pre_buffer=True)
    for name, parameter in native.language_model.model.layers.named_parameters():
        if name.startswith(("0.", "1.")) or "_hw" in name or "norm_h" in name or "norm_w" in name:
            torch.nn.init.normal_(parameter)  # everything that stage 1 trains
    ids = torch.randint(0, 60, (2, 12))
    expected = language(ids).logits
    for kernel in ("eager", "sdpa", "flex_attention"):
        native.set_attn_implementation(kernel)
        torch.testing.assert_close(native(ids).logits[..., :64], expected, **TIGHT)
    native.set_attn_implementation("sdpa")
    answer = native.generate(ids[:1], max_new_tokens=6, do_sample=False, eos_token_id=None)
    assert answer.tolist() == language.generate(ids[:1], max_new_tokens=6, do_sample=False, eos_token_id=None).tolist()
    native.config.llm_config.text_bypasses_pre_buffer = False
    assert (native(ids).logits[..., :64] - expected).abs().max() > 0.01


@torch.no_grad()
def test_it_is_the_definition(bypassed: Any, pictured: dict[str, Tensor]) -> None:
    """After each pre-buffer layer words are the embeddings they were, and visual tokens what the layer made of them."""
    states = bypassed(**pictured, output_hidden_states=True).hidden_states
    visual = bypassed.visual_mask(pictured["input_ids"], None)
    for before, after in pairwise(states[:3]):
        assert torch.equal(after[~visual], before[~visual])
        assert (after[visual] - before[visual]).abs().amax(-1).min() > 1e-3
    assert (states[3][~visual] - states[2][~visual]).abs().amax(-1).min() > 1e-3
    words = bypassed.get_input_embeddings()(pictured["input_ids"])
    assert torch.equal(states[2][~visual], words[~visual])


@torch.no_grad()
def test_kernels_agree(bypassed: Any, pictured: dict[str, Tensor]) -> None:
    logits = []
    for kernel in ("eager", "sdpa", "flex_attention"):
        bypassed.set_attn_implementation(kernel)
        logits.append(bypassed(**pictured).logits)
    bypassed.set_attn_implementation("sdpa")
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0], **TIGHT)


@torch.no_grad()
def test_packed_documents_are_the_documents_alone(bypassed: Any, prompt: Prompt) -> None:
    documents = [prompt(5, (2, 3), 4, seed=1), prompt(9, seed=2), prompt((1, 2), (3, 2), 1, seed=3)]
    pack = {
        "input_ids": torch.cat([document["input_ids"] for document in documents], 1),
        "pixel_values": torch.cat([document["pixel_values"] for document in documents if "pixel_values" in document]),
        "image_grid_hw": torch.cat(
            [document["image_grid_hw"] for document in documents if "image_grid_hw" in document]
        ),
        "cu_seqlens": torch.tensor([0, *(document["input_ids"].shape[1] for document in documents)]).cumsum(0),
    }
    alone = torch.cat([bypassed(**document).logits for document in documents], 1)
    torch.testing.assert_close(bypassed(**pack).logits, alone, **TIGHT)


@torch.no_grad()
def test_a_cache_changes_nothing(bypassed: Any, pictured: dict[str, Tensor]) -> None:
    settings = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "output_logits": True}
    runs = [
        bypassed.generate(**pictured, **settings, return_dict_in_generate=True, use_cache=cached)
        for cached in (True, False)
    ]
    assert runs[0].sequences.tolist() == runs[1].sequences.tolist()
    torch.testing.assert_close(torch.stack(runs[0].logits), torch.stack(runs[1].logits), **TIGHT)
    static = bypassed.generate(**pictured, **settings, cache_implementation="static", return_dict_in_generate=True)
    assert static.sequences.tolist() == runs[0].sequences.tolist()


@torch.no_grad()
def test_in_chunks_and_from_embeddings_it_is_the_same(bypassed: Any, pictured: dict[str, Tensor]) -> None:
    from pixelword.model.kv_cache import GrowingCache

    whole = bypassed(**pictured).logits[:, -1]
    chunked = bypassed.prefill(pictured, GrowingCache(bypassed.config), 3)
    torch.testing.assert_close(chunked.logits[:, -1], whole, **TIGHT)
    embeds = bypassed.get_input_embeddings()(pictured["input_ids"])
    types = bypassed.visual_mask(pictured["input_ids"], None).long()
    parts = {name: pictured[name] for name in ("pixel_values", "image_grid_hw", "attention_mask")}
    given = bypassed(inputs_embeds=embeds, mm_token_type_ids=types, **parts)
    torch.testing.assert_close(given.logits[:, -1], whole, **TIGHT)


def test_the_pre_buffer_learns_from_pictures_alone(bypassed: Any, pictured: dict[str, Tensor], prompt: Prompt) -> None:
    layer = bypassed.language_model.model.layers[0].mlp.down_proj.weight
    for item, moves in ((prompt(9, seed=2), False), (pictured, True)):
        bypassed.zero_grad()
        bypassed(**item, labels=item["input_ids"]).loss.backward()
        assert layer.grad is not None  # every rank has one, or ranks that share layers wait for each other
        assert bool(layer.grad.any()) is moves
    bypassed.zero_grad()


def test_a_checkpoint_says_so(bypassed: Any, tmp_path: Any) -> None:
    from pixelword.checkpoints.released import read_config

    bypassed.config.save_pretrained(tmp_path)
    assert read_config(tmp_path).llm_config.text_bypasses_pre_buffer is True

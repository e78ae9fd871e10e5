"""The released model's numbers, on every kernel that a CPU has."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch

KERNELS = [
    "eager",
    "sdpa",
    pytest.param(
        "flex_attention",
        marks=pytest.mark.skipif(not shutil.which("g++"), reason="flex attention is compiled, and there is no g++"),
    ),
]


def far(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.detach().view(expected.shape) - expected).abs().max())


def test_visual_embeddings(released: Any) -> None:
    features = released.model.get_image_features(
        released.packed["pixel_values"], released.packed["grid_hw"]
    ).pooler_output
    assert far(torch.cat(features), released.packed["visual_embeds"]) < 1e-4
    assert [len(feature) for feature in features] == (released.packed["grid_hw"].prod(-1) // 4).tolist()


def test_indices(released: Any) -> None:
    inputs = released.inputs()
    positions, _ = released.model.get_rope_index(
        inputs["input_ids"], inputs["image_grid_hw"], cu_seqlens=inputs["cu_seqlens"]
    )
    assert torch.equal(positions[0, 0], released.packed["t_index"].flatten())
    for case in released.greedy.values():
        positions, _ = released.model.get_rope_index(case["input_ids"][None], case["grid_hw"])
        t, th, tw = positions[:, 0]
        assert torch.equal(torch.stack((t, th - t, tw - t)), case["thw_index"])


@pytest.mark.parametrize("kernel", KERNELS)
def test_packed_forward(released: Any, kernel: str) -> None:
    released.model.set_attn_implementation(kernel)
    with torch.no_grad():
        output = released.model(**released.inputs())
    assert far(output.logits, released.packed["logits"]) < 1e-4
    assert output.loss.item() == pytest.approx(released.packed["loss"].item(), rel=1e-4)


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])  # flex has no backward pass on a CPU
def test_gradients(released: Any, kernel: str) -> None:
    released.model.set_attn_implementation(kernel)
    released.model.zero_grad()
    released.model(**released.inputs()).loss.backward()
    released.assert_gradients()


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("case", ["one", "two", "video"])
def test_greedy_generation(released: Any, case: str, kernel: str) -> None:
    released.model.set_attn_implementation(kernel)
    expected = released.greedy[case]
    ids = expected["input_ids"][None]
    output = released.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=expected["pixel_values"],
        image_grid_hw=expected["grid_hw"],
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=None,
        return_dict_in_generate=True,
        output_logits=True,
    )
    assert output.sequences[0, ids.shape[1] :].tolist() == expected["new_tokens"].tolist()
    assert far(torch.cat(output.logits), expected["step_logits"]) < 1e-4

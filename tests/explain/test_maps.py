"""Every map equals its definition, written out over whole L x L matrices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pixelword.explain import maps as module
from pixelword.explain.maps import STAGES, Maps, make_maps
from pixelword.explain.trace import Reading
from pixelword.model import attention

TIGHT = {"rtol": 2e-4, "atol": 1e-6}


@pytest.fixture(scope="module")
def made(reading: Reading) -> Maps:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 7)  # so that chunks meet in the middle of pictures
        return make_maps(reading)


@pytest.fixture(scope="module")
def whole(reading: Reading) -> tuple[list[Tensor], list[list[Tensor]]]:
    """The network's own attention (heads, L, L) of each layer, and its gradient for each word, by autograd."""
    held: list[Tensor] = []

    def kept(q: Tensor, k: Tensor, v: Tensor, visible: Any, scale: float) -> Tensor:
        group = q.shape[1] // k.shape[1]
        scores = q @ k.repeat_interleave(group, 1).transpose(-1, -2) * scale
        held.append(scores.masked_fill(~visible.dense(k.shape[2]), -torch.inf).softmax(-1))
        return held[-1] @ v.repeat_interleave(group, 1)

    model = reading.model
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(attention.KERNELS, model.config.llm_config._attn_implementation or "sdpa", kept)
        logits = model(**reading.inputs, use_cache=False).logits[0, reading.rows]
    said = logits.log_softmax(-1).gather(-1, reading.word_ids[:, None])[:, 0]
    slopes = [
        torch.autograd.grad(item, held, retain_graph=True, allow_unused=True, materialize_grads=True) for item in said
    ]
    return [item[0].detach() for item in held], [[item[0] for item in word] for word in slopes]


def used(reading: Reading, layer: int) -> Tensor:
    """(L, 1): where text passes the pre-buffer by, only pictures' attention there goes anywhere."""
    config = reading.model.config.llm_config
    by = config.text_bypasses_pre_buffer and layer < config.extra_num_layers
    return (reading.visual if by else torch.ones_like(reading.visual))[:, None]


def test_the_rows_of_words_are_the_networks_attention(reading: Reading, made: Maps, whole: Any) -> None:
    for layer, full in enumerate(whole[0]):
        expected = (full * used(reading, layer))[:, reading.rows].transpose(0, 1)
        torch.testing.assert_close(made.weights[:, layer], expected, **TIGHT)
    sums = made.weights.sum(-1)
    assert ((sums - 1).abs() < 1e-5).logical_or(sums == 0).all() and (sums[:, -1] > 0.99).all()


def test_the_three_parts_are_the_score(reading: Reading, made: Maps) -> None:
    """Weights of one row differ by the exponent of their scores' difference: the softmax's sum cancels."""
    logs = made.weights[..., reading.visual].log()
    scores = made.parts.sum(0)
    seen = made.weights.sum(-1, keepdim=True) > 0
    differences = (logs - logs[..., :1] - scores + scores[..., :1]).where(seen, torch.zeros(()))
    assert differences.abs().max() < 1e-4
    assert all(part.abs().max() > 0.01 for part in made.parts)


def test_rollout_is_the_product_of_layers(reading: Reading, made: Maps, whole: Any) -> None:
    product = torch.eye(reading.length)
    for layer, full in enumerate(whole[0]):
        mixed = 0.5 * full.mean(0) + 0.5 * torch.eye(reading.length)
        product = torch.where(used(reading, layer), mixed, torch.eye(reading.length)) @ product
    torch.testing.assert_close(made.rollout, product[reading.rows], **TIGHT)
    torch.testing.assert_close(made.rollout.sum(-1), torch.ones(2))


def test_gradient_x_attention_is_what_autograd_says(reading: Reading, made: Maps, whole: Any) -> None:
    attention, slopes = whole
    for word, row in enumerate(reading.rows.tolist()):
        relevance = torch.eye(reading.length)
        for full, slope in zip(attention, slopes[word], strict=True):
            relevance = relevance + (full * slope).clamp(min=0).mean(0) @ relevance
        torch.testing.assert_close(made.gradient[word], relevance[row], **TIGHT)


def test_stages_and_frames_are_means_of_their_layers(reading: Reading, made: Maps, whole: Any) -> None:
    assert list(made.stages) == list(STAGES)
    for stage, layers in zip(STAGES, ((0, 1), (2, 3)), strict=True):
        expected = torch.stack([(whole[0][layer] * used(reading, layer)).mean(0) for layer in layers]).mean(0)
        torch.testing.assert_close(made.stages[stage], expected, **TIGHT)
        for i, item in enumerate(reading.pictures):
            for j, other in enumerate(reading.pictures):
                share = expected[list(item.tokens)][:, list(other.tokens)].sum(1).mean()
                torch.testing.assert_close(made.frames[stage][i, j], share, **TIGHT)
        assert made.frames[stage][0, 1] == 0 and made.frames[stage][1, 0] > 0


def test_no_whole_map_is_kept_of_long_sequences(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE", reading.length - 1)
    found = make_maps(reading)
    assert found.stages == {} and found.frames["pre-buffer"].shape == (2, 2)


def test_the_network_is_left_as_it_was(reading: Reading, made: Maps) -> None:
    assert made.weights.shape[2] == 2
    assert all(parameter.grad is None for parameter in reading.model.parameters())
    assert all(not item._forward_hooks and not item._forward_pre_hooks for item in reading.model.modules())

"""The cache that writes in place holds what transformers' own holds, whatever generation does with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from pixelword.model.kv_cache import GrowingCache, GrowingLayer
from pixelword.model.modeling import NeoOVForConditionalGeneration


def step(length: int, seed: int, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Keys (B, 2, L, 8) and values (B, 2, L, 4) of a few tokens."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, 2, length, width, generator=generator) for width in (8, 4))  # type: ignore[return-value]


def beams(cache: DynamicCache) -> None:
    cache.reorder_cache(torch.tensor([1, 1]))


def cropped(cache: DynamicCache) -> None:
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[..., :-2, :], layer.values[..., :-2, :]


def repeated(cache: DynamicCache) -> None:
    cache.batch_repeat_interleave(2)


@pytest.mark.parametrize("change", [None, beams, cropped, repeated])
def test_it_holds_what_a_dynamic_cache_holds(
    model: NeoOVForConditionalGeneration, change: Callable[[DynamicCache], None] | None
) -> None:
    ours, theirs = GrowingCache(model.config), DynamicCache(config=model.config)
    batch = 2
    for number, length in enumerate((5, 1, 1, 90, 1, 1)):
        if number == 2 and change is not None:
            change(ours), change(theirs)
            batch = theirs.layers[0].keys.shape[0]
        for layer in range(3):
            keys, values = step(length, 10 * number + layer, batch)
            found = ours.update(keys, values, layer)
            expected = theirs.update(keys, values, layer)
            held = expected[0].shape[2]
            for item, other in zip(found, expected, strict=True):
                assert torch.equal(item[:, :, :held], other) and not item[:, :, held:].isnan().any()
            assert torch.equal(ours.layers[layer].keys, theirs.layers[layer].keys)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_token_is_written_in_place() -> None:
    layer = GrowingLayer()
    first, _ = layer.update(*step(5, 0))
    second, _ = layer.update(*step(1, 1))
    assert second.data_ptr() == first.data_ptr()


def test_a_cache_of_inference_mode_goes_on_without_it() -> None:
    layer = GrowingLayer()
    with torch.inference_mode():
        layer.update(*step(5, 0))
    keys, _ = layer.update(*step(1, 1))
    assert torch.equal(keys[:, :, :6], torch.cat((step(5, 0)[0], step(1, 1)[0]), 2))


def test_gradients_flow_through_it() -> None:
    layer = GrowingLayer()
    keys, values = (x.requires_grad_() for x in step(3, 0))
    layer.update(keys, values)
    held, _ = layer.update(*step(1, 1))
    held.sum().backward()
    assert keys.grad is not None and bool((keys.grad == 1).all())


def test_generate_makes_it_and_leaves_a_given_one(model: NeoOVForConditionalGeneration, prompt) -> None:
    inputs = prompt(5, (2, 2), 4)
    made = model.generate(**inputs, max_new_tokens=3, return_dict_in_generate=True).past_key_values
    assert isinstance(made, GrowingCache)
    given = DynamicCache(config=model.config)
    held = model.generate(**inputs, max_new_tokens=3, past_key_values=given, return_dict_in_generate=True)
    assert held.past_key_values is given

"""One forward, however it is cut: packed, batched, chunked, token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import DynamicCache, StaticCache

TIGHT = {"rtol": 1e-4, "atol": 2e-5}
Prompt = Callable[..., dict[str, Tensor]]
PART = st.one_of(st.integers(1, 6), st.tuples(st.integers(1, 3), st.integers(1, 3)))
#: Function-scoped fixtures here are read only, so that examples may share them.
SHARED = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def no_gradients() -> Any:
    with torch.no_grad():
        yield


def test_packed_documents_are_the_documents_alone(model: Any, prompt: Prompt) -> None:
    documents = [prompt(5, (2, 3), 4, seed=1), prompt(9, seed=2), prompt((1, 2), (3, 2), 1, seed=3), prompt(3, seed=4)]
    pack = {
        "input_ids": torch.cat([document["input_ids"] for document in documents], 1),
        "pixel_values": torch.cat([document["pixel_values"] for document in documents if "pixel_values" in document]),
        "image_grid_hw": torch.cat(
            [document["image_grid_hw"] for document in documents if "image_grid_hw" in document]
        ),
    }
    lengths = [0, *(document["input_ids"].shape[1] for document in documents)]
    pack["cu_seqlens"] = torch.tensor(lengths).cumsum(0)
    labels = pack["input_ids"].clone()
    weight = torch.rand(labels.shape)
    for kernel in ("sdpa", "eager"):
        model.set_attn_implementation(kernel)
        together = model(**pack, labels=labels, loss_weight=weight)
        total, begin = torch.zeros(2), 0
        for document in documents:
            end = begin + document["input_ids"].shape[1]
            alone = model(**document, labels=document["input_ids"], loss_weight=weight[:, begin:end])
            torch.testing.assert_close(together.logits[:, begin:end], alone.logits, **TIGHT)
            counted = weight[0, begin + 1 : end].sum()
            total += torch.stack((alone.loss * counted, counted))
            begin = end
        torch.testing.assert_close(together.loss, total[0] / total[1], **TIGHT)


def test_packed_rows_are_the_documents_alone(model: Any, prompt: Prompt) -> None:
    """cu_seqlens over several rows: boundaries in the flattened stream."""
    rows = [[prompt(4, (1, 2), seed=1), prompt(7, seed=2)], [prompt(2, seed=3), prompt((2, 2), 7, seed=4)]]
    length = max(sum(item["input_ids"].shape[1] for item in row) for row in rows)
    ids, starts = torch.zeros(2, length, dtype=torch.long), []
    for number, row in enumerate(rows):
        begin = 0
        for item in row:
            starts.append(number * length + begin)
            ids[number, begin : begin + item["input_ids"].shape[1]] = item["input_ids"]
            begin += item["input_ids"].shape[1]
        if begin < length:
            starts.append(number * length + begin)
    pictures = [item for row in rows for item in row if "pixel_values" in item]
    together = model(
        input_ids=ids,
        pixel_values=torch.cat([picture["pixel_values"] for picture in pictures]),
        image_grid_hw=torch.cat([picture["image_grid_hw"] for picture in pictures]),
        cu_seqlens=torch.tensor([*starts, 2 * length]),
    ).logits.flatten(0, 1)
    for number, row in enumerate(rows):
        begin = number * length
        for item in row:
            end = begin + item["input_ids"].shape[1]
            torch.testing.assert_close(together[begin:end], model(**item).logits[0], **TIGHT)
            begin = end


@SHARED
@given(
    rows=st.lists(st.lists(PART, min_size=1, max_size=4), min_size=1, max_size=4),
    side=st.sampled_from(["left", "right"]),
)
def test_a_mixed_batch_is_its_rows_one_by_one(model: Any, prompt: Prompt, batch: Prompt, rows: Any, side: str) -> None:
    prompts = [prompt(*parts, seed=number) for number, parts in enumerate(rows)]
    together = batch(prompts, side=side)
    logits = model(**together).logits
    for row, item in enumerate(prompts):
        real = together["attention_mask"][row].bool()
        torch.testing.assert_close(logits[row, real], model(**item).logits[0], **TIGHT)


@SHARED
@given(parts=st.lists(PART, min_size=1, max_size=4), static=st.booleans())
def test_token_by_token_is_one_forward(model: Any, prompt: Prompt, parts: Any, static: bool) -> None:
    """The cache holds the request's place in t; nothing else is handed on. A picture is read at once."""
    item = prompt(*parts, 8, seed=5)
    ids = item["input_ids"]
    whole = model(**item).logits
    cache: Any = StaticCache(config=model.config, max_cache_len=ids.shape[1] + 3) if static else DynamicCache()
    begin = ids.shape[1] - 8
    first = {**item, "input_ids": ids[:, :begin], "attention_mask": item["attention_mask"][:, :begin]}
    logits = [model(**first, past_key_values=cache, use_cache=True).logits]
    for i in range(begin, ids.shape[1]):
        logits.append(model(input_ids=ids[:, i : i + 1], past_key_values=cache, use_cache=True).logits)
    torch.testing.assert_close(torch.cat(logits, 1), whole, **TIGHT)


def test_left_padded_rows_go_on_from_a_cache(model: Any, prompt: Prompt, batch: Prompt) -> None:
    prompts = [prompt(3, (2, 3), seed=1), prompt(2, seed=2), prompt((1, 1), (2, 2), 4, seed=3)]
    tails = torch.randint(1, 60, (3, 4), generator=torch.Generator().manual_seed(0))
    together = batch(prompts)
    cache = DynamicCache()
    model(**together, past_key_values=cache, use_cache=True)
    mask = together["attention_mask"]
    for i in range(4):
        mask = torch.cat((mask, torch.ones(3, 1, dtype=torch.long)), 1)
        step = model(input_ids=tails[:, i : i + 1], attention_mask=mask, past_key_values=cache, use_cache=True).logits
        for row, item in enumerate(prompts):
            ids = torch.cat((item["input_ids"], tails[row : row + 1, : i + 1]), 1)
            alone = model(**{**item, "input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits
            torch.testing.assert_close(step[row, -1], alone[0, -1], **TIGHT)


@SHARED
@given(parts=st.lists(PART, min_size=1, max_size=6), size=st.integers(1, 12))
def test_chunked_prefill_is_the_whole(model: Any, prompt: Prompt, parts: Any, size: int) -> None:
    item = prompt(*parts, seed=6)
    whole_cache, cache = DynamicCache(), DynamicCache()
    whole = model(**item, past_key_values=whole_cache, use_cache=True)
    last = model.prefill(item, cache, size)
    torch.testing.assert_close(last.logits[:, -1], whole.logits[:, -1], **TIGHT)
    assert cache.get_seq_length() == whole_cache.get_seq_length()
    for chunked, entire in zip(cache.layers, whole_cache.layers, strict=True):
        torch.testing.assert_close(chunked.keys, entire.keys, **TIGHT)
    follow = torch.tensor([[7]])
    torch.testing.assert_close(
        model(input_ids=follow, past_key_values=cache, use_cache=True).logits,
        model(input_ids=follow, past_key_values=whole_cache, use_cache=True).logits,
        **TIGHT,
    )


def test_interleaved_requests_do_not_touch_each_other(model: Any, prompt: Prompt) -> None:
    requests = [prompt(3, (2, 3), 2, seed=1), prompt(8, seed=2), prompt((3, 3), 1, (1, 2), 2, seed=3)]
    alone = []
    for request in requests:
        ids, cache = request["input_ids"], DynamicCache()
        logits = [model(**request, past_key_values=cache, use_cache=True).logits[:, -1]]
        for token in (5, 6, 7):
            logits.append(
                model(input_ids=ids.new_tensor([[token]]), past_key_values=cache, use_cache=True).logits[:, -1]
            )
        alone.append(torch.cat(logits))
    caches = [DynamicCache() for _ in requests]
    together = [
        [model(**item, past_key_values=cache, use_cache=True).logits[:, -1]]
        for item, cache in zip(requests, caches, strict=True)
    ]
    for token in (5, 6, 7):
        for logits, cache in zip(together, caches, strict=True):
            logits.append(model(input_ids=torch.tensor([[token]]), past_key_values=cache, use_cache=True).logits[:, -1])
    for item, expected in zip(together, alone, strict=True):
        assert torch.equal(torch.cat(item), expected)


def test_a_picture_sees_itself_whole_and_nothing_later(model: Any, prompt: Prompt) -> None:
    item = prompt(3, (2, 2), 3, seed=1)
    before = model(**item).logits
    patches = item["pixel_values"].clone()
    patches[-1] += 1
    after = model(**{**item, "pixel_values": patches}).logits
    changed = (before != after).any(-1)[0]
    assert not changed[:4].any()  # words and <img>
    assert changed[4:].all()  # the picture's first token too sees its last


def test_inputs_embeds_stand_for_ids(model: Any, prompt: Prompt) -> None:
    item = prompt(3, (2, 2), 3, seed=1)
    ids = item.pop("input_ids")
    types = (ids == 61).long()
    embeds = model.get_input_embeddings()(ids)
    found = model(inputs_embeds=embeds, mm_token_type_ids=types, **item).logits
    torch.testing.assert_close(found, model(input_ids=ids, **item).logits, **TIGHT)


def test_kept_logits_are_the_last(model: Any, prompt: Prompt) -> None:
    item = prompt(3, (2, 2), 3, seed=1)
    whole = model(**item).logits
    torch.testing.assert_close(model(**item, logits_to_keep=2).logits, whole[:, -2:], **TIGHT)
    torch.testing.assert_close(model(**item, logits_to_keep=torch.tensor([0, 4])).logits, whole[:, [0, 4]], **TIGHT)
    assert model(**item, skip_logits=True).logits is None
    states = model(**item, output_hidden_states=True).hidden_states
    assert len(states) == 1 + 3
    torch.testing.assert_close(model.get_output_embeddings()(states[-1]), whole, **TIGHT)


def test_visual_tokens_and_pictures_must_agree(model: Any, prompt: Prompt) -> None:
    item = prompt(2, (2, 2), 3, seed=1)
    with pytest.raises(ValueError, match=r"hold 3 visual tokens but image_grid_hw .* describes 4"):
        model(
            **{**item, "input_ids": torch.cat((item["input_ids"][:, :3], item["input_ids"][:, 4:]), 1)}, use_cache=False
        )
    with pytest.raises(ValueError, match=r"has 15 patches but image_grid_hw .* describes 16"):
        model(**{**item, "pixel_values": item["pixel_values"][:-1]})
    with pytest.raises(ValueError, match="must be multiples of 2"):
        model(**{**item, "image_grid_hw": torch.tensor([[1, 16]])})
    with pytest.raises(ValueError, match="need image_grid_hw"):
        model(input_ids=item["input_ids"], pixel_values=item["pixel_values"])
    with pytest.raises(ValueError, match="image_grid_hw needs pixel_values"):
        model(input_ids=item["input_ids"], image_grid_hw=item["image_grid_hw"])
    with pytest.raises(ValueError, match="an empty cache"):
        model.prefill({"input_ids": item["input_ids"], "image_grid_hw": item["image_grid_hw"]}, DynamicCache(), 4)
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="labels have shape"):
        model(**item, labels=item["input_ids"][:, 1:])
    with pytest.raises(ValueError, match="zeros between ones"):
        mask = torch.ones_like(item["input_ids"])
        mask[0, 3] = 0
        model(**{**item, "attention_mask": mask})

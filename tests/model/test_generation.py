"""`generate`, with every way of decoding that transformers has for such a model."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache
from transformers.generation.streamers import BaseStreamer

Prompt = Callable[..., dict[str, Tensor]]
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 8, "eos_token_id": None, "pad_token_id": 0}


@pytest.fixture(params=["ids", "types"])
def pictured(prompt: Prompt, request: pytest.FixtureRequest) -> dict[str, Tensor]:
    """Two pictures, the places of whose tokens follow from the ids, or are given as the processor gives them."""
    item = prompt(3, (2, 3), 2, (1, 2), 2, seed=1)
    return item if request.param == "ids" else {**item, "mm_token_type_ids": (item["input_ids"] == 61).long()}


def by_hand(model: Any, item: dict[str, Tensor], new: int = 8) -> list[int]:
    """Greedy decoding without a cache and without `generate`."""
    ids = item["input_ids"]
    pictures = {name: item[name] for name in ("pixel_values", "image_grid_hw") if name in item}
    for _ in range(new):
        with torch.no_grad():
            logits = model(input_ids=ids, **pictures, use_cache=False).logits
        ids = torch.cat((ids, logits[:, -1:].argmax(-1)), 1)
    return ids[0, -new:].tolist()


def new_tokens(output: Tensor, new: int = 8) -> list[list[int]]:
    return output[:, -new:].tolist()


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "options", [{}, {"use_cache": False}, {"cache_implementation": "static", "disable_compile": True}], ids=str
)
def test_greedy_is_by_hand(model: Any, pictured: dict[str, Tensor], options: dict[str, Any], kernel: str) -> None:
    model.set_attn_implementation(kernel)
    assert new_tokens(model.generate(**pictured, **GREEDY, **options)) == [by_hand(model, pictured)]


def test_a_static_cache_is_not_compiled_on_a_cpu(model: Any, pictured: dict[str, Tensor]) -> None:
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    output = model.generate(**pictured, **GREEDY, cache_implementation="static")
    assert new_tokens(output) == [by_hand(model, pictured)]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_a_mixed_batch_is_one_by_one(model: Any, prompt: Prompt, batch: Prompt, cache: str) -> None:
    prompts = [prompt(3, (2, 3), 2, seed=1), prompt(5, seed=2), prompt((1, 2), 2, (3, 3), 4, seed=3), prompt(1, seed=4)]
    options = {} if cache == "dynamic" else {"cache_implementation": "static", "disable_compile": True}
    output = model.generate(**batch(prompts), **GREEDY, **options)
    assert new_tokens(output) == [by_hand(model, item) for item in prompts]


def beam_search(model: Any, item: dict[str, Tensor], beams: int, new: int) -> list[int]:
    """The definition: keep the `beams` likeliest continuations, each scored by a whole forward of its own."""
    candidates = [(0.0, item["input_ids"])]
    pictures = {name: item[name] for name in ("pixel_values", "image_grid_hw")}
    for _ in range(new):
        longer = []
        for score, ids in candidates:
            with torch.no_grad():
                scores = model(ids, **pictures, use_cache=False).logits[0, -1].log_softmax(-1)
            for token in scores.topk(beams).indices.tolist():
                longer.append((score + scores[token].item(), torch.cat((ids, ids.new_tensor([[token]])), 1)))
        candidates = sorted(longer, key=lambda pair: -pair[0])[:beams]
    return candidates[0][1][0, -new:].tolist()


def test_beams_are_beam_search(model: Any, pictured: dict[str, Tensor]) -> None:
    output = model.generate(**pictured, **{**GREEDY, "max_new_tokens": 5}, num_beams=3)
    assert new_tokens(output, 5) == [beam_search(model, pictured, 3, 5)]


def test_beams_of_a_mixed_batch_are_those_one_by_one(model: Any, prompt: Prompt, batch: Prompt) -> None:
    prompts = [prompt(3, (2, 3), 2, seed=1), prompt(5, seed=2), prompt((1, 2), 2, (3, 3), 4, seed=3)]
    options = {**GREEDY, "num_beams": 3, "num_return_sequences": 2}
    together = new_tokens(model.generate(**batch(prompts), **options))
    assert together == [row for item in prompts for row in new_tokens(model.generate(**item, **options))]


def test_several_answers_are_drawn_for_each_row(model: Any, prompt: Prompt, batch: Prompt) -> None:
    prompts = [prompt(3, (2, 3), 2, seed=1), prompt((1, 2), 4, seed=3)]
    torch.manual_seed(0)
    output = model.generate(**batch(prompts), **{**GREEDY, "do_sample": True}, num_return_sequences=3)
    assert len(output) == 6
    assert output[0, -20:-8].tolist() == output[2, -20:-8].tolist() != output[3, -20:-8].tolist()
    # a nearly cold draw is the greedy answer, so that each copy saw its own row's pictures
    cold = {**GREEDY, "do_sample": True, "temperature": 1e-4}
    output = model.generate(**batch(prompts), **cold, num_return_sequences=2)
    assert new_tokens(output) == [row for item in prompts for row in [by_hand(model, item)] * 2]


def test_an_assistant_changes_nothing(model: Any, fresh_model: Any, pictured: dict[str, Tensor]) -> None:
    expected = [by_hand(model, pictured)]
    for assistant in (fresh_model(seed=0), fresh_model(seed=1, num_hidden_layers=1)):  # always right, mostly wrong
        assistant.generation_config.num_assistant_tokens_schedule = "constant"
        assert new_tokens(model.generate(**pictured, **GREEDY, assistant_model=assistant)) == expected


def test_prompt_lookup_changes_nothing(model: Any, prompt: Prompt) -> None:
    item = prompt((2, 2), 4, seed=1)
    item["input_ids"] = torch.cat((item["input_ids"], item["input_ids"][:, -4:].repeat(1, 3)), 1)
    item["attention_mask"] = torch.ones_like(item["input_ids"])
    assert new_tokens(model.generate(**item, **GREEDY, prompt_lookup_num_tokens=3)) == [by_hand(model, item)]


class Recorder(BaseStreamer):
    """Keeps what is put, and that the end came."""

    def __init__(self) -> None:
        self.tokens: Queue[list[int]] = Queue()
        self.ended = False

    def put(self, value: Tensor) -> None:
        self.tokens.put(value.flatten().tolist())

    def end(self) -> None:
        self.ended = True


def test_a_streamer_gets_every_token_as_it_comes(model: Any, pictured: dict[str, Tensor]) -> None:
    streamer = Recorder()
    model.generate(**pictured, **GREEDY, streamer=streamer)
    put = list(streamer.tokens.queue)
    assert put[0] == pictured["input_ids"][0].tolist()
    assert put[1:] == [[token] for token in by_hand(model, pictured)]
    assert streamer.ended


def test_embeddings_may_be_the_prompt(model: Any, prompt: Prompt) -> None:
    words = prompt(7, seed=1)
    embeds = model.get_input_embeddings()(words["input_ids"]).detach()
    output = model.generate(inputs_embeds=embeds, attention_mask=words["attention_mask"], **GREEDY)
    assert output.tolist() == [by_hand(model, words)]


def test_embeddings_with_pictures_may_be_the_prompt(model: Any, pictured: dict[str, Tensor]) -> None:
    expected = [by_hand(model, pictured)]
    ids = pictured.pop("input_ids")
    pictured["mm_token_type_ids"] = (ids == 61).long()
    output = model.generate(inputs_embeds=model.get_input_embeddings()(ids).detach(), **pictured, **GREEDY)
    assert output.tolist() == expected


def test_a_prefilled_cache_is_gone_on_from(model: Any, pictured: dict[str, Tensor]) -> None:
    """Turns that reuse a cache, and chunked prefill before `generate`: the last token is left to it."""
    expected = [by_hand(model, pictured)]
    ids = pictured["input_ids"]
    cache = DynamicCache(config=model.config)
    model.prefill({name: x[:, :-1] if x.shape == ids.shape else x for name, x in pictured.items()}, cache, chunk_size=4)
    assert new_tokens(model.generate(**pictured, **GREEDY, past_key_values=cache)) == expected


def test_a_cached_first_picture_is_not_read_again(model: Any, pictured: dict[str, Tensor]) -> None:
    expected = [by_hand(model, pictured)]
    ids, grid = pictured["input_ids"], pictured["image_grid_hw"]
    first = 3 + 1 + 6 + 1
    cache = DynamicCache(config=model.config)
    prefix = {"input_ids": ids[:, :first], "image_grid_hw": grid[:1], "pixel_values": pictured["pixel_values"][:24]}
    model.prefill(prefix, cache, chunk_size=100)
    assert new_tokens(model.generate(**pictured, **GREEDY, past_key_values=cache)) == expected


def test_a_given_static_cache_is_filled(model: Any, pictured: dict[str, Tensor]) -> None:
    cache = StaticCache(config=model.config, max_cache_len=40)
    output = model.generate(**pictured, **GREEDY, past_key_values=cache, disable_compile=True)
    assert new_tokens(output) == [by_hand(model, pictured)]


def test_requests_leave_nothing_on_the_model(model: Any, pictured: dict[str, Tensor], prompt: Prompt) -> None:
    model.generate(**pictured, **GREEDY)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    model.generate(**pictured, **GREEDY)
    assert before == {name: set(vars(module)) for name, module in model.named_modules()}
    other = prompt(4, seed=9)
    assert new_tokens(model.generate(**other, **GREEDY)) == [by_hand(model, other)]

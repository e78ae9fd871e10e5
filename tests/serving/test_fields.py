"""What a request asks for is done, changes nothing, or is refused by name; and the documentation says which."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest

from pixelword.serving.fields import PASSIVE, is_accepted

from .conftest import EXAMPLES, asks
from .test_guard import CIRCLE, GOOD, assert_refused, post

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "docs" / "make_serving.py")))
HOT = [{"role": "user", "content": "what is the opposite of hot?"}]
CHAT, PLAIN, EXPLAIN, TOKENIZE = "/v1/chat/completions", "/v1/completions", "/v1/explain", "/tokenize"
PATHS = {"chat": CHAT, "completions": PLAIN, "explain": EXPLAIN, "tokenize": TOKENIZE}
BASE = {place: {"prompt": "what is"} if place == "completions" else {"messages": HOT} for place in PATHS}
OF_TYPE = {"boolean": False, "string": "me", "object": {"a": "b"}, "number": 1}
#: Values of which no field takes all, and no field but `n`, `logit_bias` and the like takes any.
STRANGE = ["strange", 7.5, {"a": 1}, [[1]], True]


def content(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("place", PATHS)
def test_every_field_passes_with_what_changes_nothing_and_is_refused_by_name_with_anything_else(address, place) -> None:
    harmless: dict[str, Any] = {}
    for name, accepts in PASSIVE[place].items():
        values = [OF_TYPE[accepts]] if isinstance(accepts, str) else accepts
        harmless[name] = values[0] if values else None
        wrong = next(value for value in STRANGE if not is_accepted(value, accepts))
        refused = post(address, BASE[place] | {name: wrong}, PATHS[place])
        assert name in assert_refused(refused, 400) and refused.json()["error"]["param"] == name
    plain, full = (post(address, BASE[place] | more, PATHS[place]) for more in ({}, harmless))
    assert full.status_code == 200, full.text
    assert unlabelled(full) == unlabelled(plain)


def unlabelled(answer: httpx.Response) -> dict[str, Any]:
    """The answer, less what differs with every request."""
    varying = {"id", "created", "usage", "seconds"}
    return {name: value for name, value in answer.json().items() if name not in varying}


@pytest.mark.parametrize("place", PATHS)
def test_a_wrong_type_is_refused_by_the_name_of_its_field(address, place) -> None:
    model = reference.ROUTES[place]
    for name, schema in model.model_json_schema()["properties"].items():
        if name not in model.model_fields:
            continue
        kinds = {item.get("type", "object") for item in schema.get("anyOf", [schema])}
        wrong = [
            v
            for kind, v in (("boolean", True), ("string", "5"), ("array", [{}]), ("object", {"a": "b"}))
            if kind not in kinds
        ]
        for value in wrong:
            refused = post(address, BASE[place] | {name: value}, PATHS[place])
            assert name in assert_refused(refused, 400), value
            assert refused.json()["error"]["param"].startswith(name)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"top_P": 0.5}, ["top_P", "did you mean top_p?"]),
        ({"grammar": "x"}, ["grammar", "no such field"]),
        ({"suffix": "x"}, ["suffix"]),
        ({"guided_json": {"type": "object"}}, ["guided_json", "no such field", 'structured_outputs: {"json"']),
        ({"guided_decoding_backend": "outlines"}, ["guided_decoding_backend", "not supported"]),
        ({"modalities": ["text", "audio"]}, ["modalities", 'only ["text"]']),
        ({"best_of": True}, ["best_of"]),
        ({"store": True}, ["store", "only false"]),
        ({"messages": [HOT[0] | {"weight": 1}]}, ["messages.0.weight", "no such field"]),
        ({"messages": [HOT[0] | {"tool_calls": [{}]}]}, ["messages.0.tool_calls"]),
        ({"stream_options": {"include_usages": True}}, ["stream_options.include_usages", "include_usage"]),
        ({"top_logprobs": 3}, ["top_logprobs needs logprobs"]),
        ({"min_tokens": 9, "max_tokens": 5}, ["min_tokens"]),
        ({"stop_token_ids": [10**6]}, ["stop_token_ids", "1000000"]),
        ({"allowed_token_ids": [-1]}, ["allowed_token_ids"]),
        ({"allowed_token_ids": []}, ["allowed_token_ids"]),
        ({"logit_bias": {"cold": 1}}, ["logit_bias", "numbers of tokens"]),
        ({"logit_bias": {"5": 101}}, ["logit_bias", "100"]),
        ({"bad_words": [""]}, ["bad_words"]),
        ({"mm_processor_kwargs": {"max_pixels": 0.5}}, ["max_pixels"]),
        ({"continue_final_message": True}, ["continue_final_message", "assistant"]),
        ({"allowed_token_ids": [2], "min_tokens": 1}, ["no token is left"]),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_what_is_not_done_is_refused_by_name(address, body, words) -> None:
    message = assert_refused(post(address, {"messages": HOT} | body), 400)
    assert all(word in message for word in words), message


def test_parts_say_one_thing_each(address) -> None:
    (message,) = asks("what colour is the circle?", CIRCLE)
    picture, text = message["content"]
    for change, word in (
        (text | {"image_url": picture["image_url"]}, "image_url"),
        (picture | {"max_pixels": 4096}, "max_pixels"),
        ({"type": "image_url", "image_url": picture["image_url"] | {"detail": "low"}}, "detail"),
    ):
        body = {"messages": [{"role": "user", "content": [change, text]}]}
        assert word in assert_refused(post(address, body), 400)
    high = {"type": "image_url", "image_url": picture["image_url"] | {"detail": "high"}, "cache_control": {"type": "x"}}
    assert content(post(address, GOOD | {"messages": [{"role": "user", "content": [high, text]}]})) == "red"


def test_the_last_message_is_continued(address) -> None:
    begun = [*HOT, {"role": "assistant", "content": "co"}]
    for more in ({}, {"add_generation_prompt": False}):
        assert content(post(address, {"messages": begun, "continue_final_message": True, **more})) == "ld"
    both = {"messages": begun, "continue_final_message": True, "add_generation_prompt": True}
    assert "exclude each other" in assert_refused(post(address, both), 400)


def test_the_prompt_ends_as_the_request_says(address, session) -> None:
    def tokens(**more: Any) -> list[int]:
        return post(address, {"messages": [*HOT, {"role": "assistant", "content": "co"}], **more}, TOKENIZE).json()[
            "tokens"
        ]

    encode = session.processor.encode
    messages = [*HOT, {"role": "assistant", "content": "co"}]
    assert tokens() == encode(messages, add_generation_prompt=True).input_ids.tolist()
    assert tokens(add_generation_prompt=False) == encode(messages).input_ids.tolist()
    assert tokens(continue_final_message=True) == encode(messages, continue_final_message=True).input_ids.tolist()
    open_ = post(address, {"messages": HOT, "add_generation_prompt": False, "max_tokens": 4}).json()
    assert open_["usage"]["prompt_tokens"] == len(encode(HOT))


def test_tokenize_counts_with_the_options_of_the_request(address) -> None:
    def count(**more: Any) -> int:
        return post(address, {"messages": asks("what is it?", EXAMPLES / "left_right.png"), **more}, TOKENIZE).json()[
            "count"
        ]

    assert count() > count(max_pixels=4096) == count(mm_processor_kwargs={"max_pixels": 4096})


def test_openai_s_client_constrains_an_answer(address, session) -> None:
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)

    def ask(**more: Any) -> Any:
        return client.chat.completions.create(model="nano", messages=HOT, **more).choices[0]

    (cold,) = session.processor.encoder.answer("co")[:1]
    assert ask().message.content == "cold" and ask().stop_reason is None
    assert "cold" not in ask(extra_body={"bad_words": ["cold"]}).message.content
    assert not ask(logit_bias={str(cold): -100}).message.content.startswith("co")
    assert ask(extra_body={"min_tokens": 12}, max_tokens=12).finish_reason == "length"
    stopped = ask(extra_body={"stop_token_ids": [cold]})
    assert (stopped.message.content, stopped.finish_reason, stopped.stop_reason) == ("", "stop", cold)
    assert ask(stop="ld", extra_body={"include_stop_str_in_output": True}).message.content == "cold"
    assert ask(temperature=2, extra_body={"min_p": 1.0}).message.content == "cold"
    drawn = ask(extra_body={"allowed_token_ids": [cold, 2]}).message.content
    assert drawn and set(drawn) <= set("co")
    stream = client.chat.completions.create(
        model="nano", messages=HOT, stream=True, stop="ld", extra_body={"include_stop_str_in_output": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "cold"
    assert chunks[-1].choices[0].stop_reason == "ld"


def test_without_max_tokens_an_answer_has_what_is_left(serving, engine) -> None:
    """A cap where there is one; else what a prompt of 1,800 tokens and more has left of 2,048."""
    with serving(default_max_tokens=6) as address:
        capped = post(address, {"messages": HOT, "ignore_eos": True}).json()
        assert capped["usage"]["completion_tokens"] == 6 and capped["choices"][0]["finish_reason"] == "length"
        assert content(post(address, {"messages": HOT, "max_tokens": 8})) == "cold"
    long = [{"role": "user", "content": "a " * 1800}]
    with serving() as address:
        count = post(address, {"messages": long}, TOKENIZE).json()["count"]
        assert 2048 - count < 256
        told = post(address, {"messages": long, "ignore_eos": True})
        assert told.status_code == 200, told.text
        assert told.json()["usage"]["total_tokens"] == engine.max_model_len
        full = [{"role": "user", "content": "a " * 2100}]
        assert "more than the context of 2,048" in assert_refused(post(address, {"messages": full}), 400)


def test_the_documentation_is_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    assert page == reference.written(page), "run: python docs/make_serving.py"


def test_the_description_has_every_field(address) -> None:
    schemas = httpx.get(f"{address}/openapi.json").json()["components"]["schemas"]
    for place, model in reference.ROUTES.items():
        found = schemas[model.__name__]["properties"]
        assert set(found) == {*model.model_fields, *PASSIVE[place]}
        assert all("description" in item for item in found.values()), place


def test_no_field_is_both_done_and_passed_over() -> None:
    for place, model in (reference.ROUTES | reference.WITHIN).items():
        assert model.place == place and not set(model.model_fields) & set(PASSIVE[place])
    assert json.dumps(PASSIVE)

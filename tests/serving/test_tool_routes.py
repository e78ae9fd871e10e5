"""Tools on the newer routes, by the official clients: called, streamed, and their results with images read."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import openai
import pytest

pytest.importorskip("llguidance", reason='tools need pip install "pixelword[structured]"')

from pixelword.serving.answer_items import AnswerItems

from .conftest import EXAMPLES, data_url
from .test_guard import assert_refused, post
from .test_messages import image
from .test_responses import asks

CIRCLE = EXAMPLES / "red_circle.png"
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
PAINT = {"type": "function", "name": "paint", "description": "Paints.", "parameters": SCHEMA}
ANTHROPIC_PAINT = {"name": "paint", "description": "Paints.", "input_schema": SCHEMA}

OTHER = {"type": "function", "name": "other"}
USE = {"type": "tool_use", "id": "a", "name": "b", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a"}


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.fixture
def anthropic_client(address: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=address, api_key="none", max_retries=0)


def test_a_response_calls_a_tool_and_goes_on(client) -> None:
    how: dict[str, Any] = {"model": "nano", "tools": [PAINT], "max_output_tokens": 200}
    chosen = {"type": "function", "name": "paint"}
    found = client.responses.create(input="paint it red", tool_choice=chosen, **how)
    (call,) = [item for item in found.output if item.type == "function_call"]
    assert call.name == "paint" and json.loads(call.arguments)["colour"] in ("red", "blue")
    assert (call.status, found.status, found.tool_choice.name) == ("completed", "completed", "paint")
    shown = [{"type": "input_image", "image_url": data_url(CIRCLE), "detail": "auto"}]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": shown}
    next_ = client.responses.create(input=[result], previous_response_id=found.id, tool_choice="none", **how)
    assert next_.output_text
    output = [item.model_dump() for item in found.output]
    whole = [{"role": "user", "content": "paint it red"}, *output, result]
    again = client.responses.create(input=whole, tool_choice="none", **how)
    assert again.usage.input_tokens == next_.usage.input_tokens and again.output_text == next_.output_text
    text = client.responses.create(input=[{**result, "output": "done"}], previous_response_id=found.id, **how)
    assert next_.usage.input_tokens > text.usage.input_tokens + 5  # the image was read


def test_a_response_streams_its_calls(client) -> None:
    how: dict[str, Any] = {"model": "nano", "tools": [PAINT], "tool_choice": "required", "parallel_tool_calls": False}
    events = list(client.responses.create(input="paint it red", max_output_tokens=200, stream=True, **how))
    assert [event.sequence_number for event in events] == [*range(len(events))]
    kinds = [*dict.fromkeys(event.type for event in events)]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-4:] == [
        "response.function_call_arguments.delta", "response.function_call_arguments.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    deltas = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    last = events[-1].response.output[-1]
    assert deltas == last.arguments == events[-3].arguments and json.loads(deltas)
    assert client.responses.retrieve(events[-1].response.id) == events[-1].response


def test_anthropic_s_client_calls_a_tool_and_goes_on(anthropic_client) -> None:
    user = {"role": "user", "content": "paint it red"}
    how: dict[str, Any] = {"model": "nano", "tools": [ANTHROPIC_PAINT], "max_tokens": 200}
    choice = {"type": "tool", "name": "paint"}
    found = anthropic_client.messages.create(messages=[user], tool_choice=choice, **how)
    (call,) = [block for block in found.content if block.type == "tool_use"]
    assert found.stop_reason == "tool_use" and call.name == "paint" and call.input["colour"] in ("red", "blue")
    said = {"role": "assistant", "content": [block.model_dump() for block in found.content]}

    def count(content: Any, **more: Any) -> int:
        result = {"type": "tool_result", "tool_use_id": call.id, "content": content, **more}
        turns = [user, said, {"role": "user", "content": [result, {"type": "text", "text": "and now?"}]}]
        answer = anthropic_client.messages.create(messages=turns, tool_choice={"type": "none"}, **how)
        return answer.usage.input_tokens + answer.usage.cache_read_input_tokens

    assert count([image(CIRCLE)]) > count("done") + 5
    assert count("done", is_error=True) > count("done")


def test_anthropic_s_client_streams_calls(anthropic_client) -> None:
    messages = [{"role": "user", "content": "paint it red"}]
    how: dict[str, Any] = {"model": "nano", "tools": [ANTHROPIC_PAINT], "max_tokens": 200}
    choice = {"type": "any", "disable_parallel_tool_use": True}
    with anthropic_client.messages.stream(messages=messages, tool_choice=choice, **how) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_message()
    assert {"input_json", "content_block_start", "content_block_stop"} <= kinds
    assert message.stop_reason == "tool_use" and message.content[-1].input["colour"] in ("red", "blue")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_answer_s_items_come_in_its_order(size) -> None:
    call = '<tool_call>\n{"name": "paint", "arguments": {"colour": "red"}}\n</tool_call>'
    text = f"first\n{call}\n{call}"
    items = AnswerItems(tools=True)
    grown = ["", "", "", ""]
    for start in range(0, len(text), size):
        for index, piece in items.add(text[start : start + size]):
            grown[index] += piece
    for index, piece in items.finish():
        grown[index] += piece
    assert [(item.name, item.text) for item in items.items] == [
        (None, "first"), ("paint", '{"colour": "red"}'), ("paint", '{"colour": "red"}'),
    ]  # fmt: skip
    assert grown[:3] == [item.text for item in items.items]
    message = items.message()
    assert message.content == "first" and len(message.tool_calls) == 2
    plain = AnswerItems(tools=False)
    plain.take(text)
    assert [item.text for item in plain.items] == [text] and plain.message().content == text


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/v1/responses", {"input": "x", "tools": [{"type": "web_search"}]}, "tools"),
        ("/v1/responses", {"input": "x", "tool_choice": "required"}, "tool_choice"),
        ("/v1/responses", {"input": "x", "tools": [PAINT], "tool_choice": OTHER}, "tool_choice"),
        ("/v1/responses", {"input": "x", "tools": [PAINT], "top_logprobs": 1}, "include"),
        ("/v1/responses", {"input": [{"type": "function_call", "name": "paint", "arguments": "{}"}]}, "call_id"),
        ("/v1/responses", {"input": asks("x"), "tools": [PAINT, PAINT]}, "tools"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_bad_request_is_refused_by_name(address, path, body, word) -> None:
    assert word in assert_refused(post(address, body, path), 400)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [ANTHROPIC_PAINT], "tool_choice": {"type": "tool"}}, "tool_choice"),
        ({"messages": [{"role": "user", "content": [USE]}]}, "tool_use"),
        ({"messages": [{"role": "assistant", "content": [RESULT]}]}, "tool_result"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "tool_use_id"),
        ({"messages": [{"role": "user", "content": [RESULT] * 1025}]}, "1,025 messages"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_bad_message_is_refused_by_name(address, change, word) -> None:
    body = {"max_tokens": 4, "messages": [{"role": "user", "content": "x"}]} | change
    answer: httpx.Response = post(address, body, "/v1/messages")
    assert answer.status_code == 400 and word in answer.json()["error"]["message"], answer.text


def test_a_call_that_a_stop_string_cut_is_not_a_use_of_a_tool(anthropic_client) -> None:
    how: dict[str, Any] = {"model": "nano", "max_tokens": 99, "stop_sequences": ['"colour"']}
    how |= {"tools": [ANTHROPIC_PAINT], "tool_choice": {"type": "any"}}
    how["messages"] = [{"role": "user", "content": "paint it red"}]
    found = anthropic_client.messages.create(**how)
    assert (found.stop_reason, found.stop_sequence) == ("stop_sequence", '"colour"') and not found.content
    with anthropic_client.messages.stream(**how) as stream:
        assert stream.get_final_message().stop_reason == "stop_sequence"

"""Tools by the official client: calls that have their schema, whole and in pieces, and what tools return."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel, ConfigDict, Field

pytest.importorskip("llguidance", reason='answers with a form need pip install "pixelword[structured]"')

from .conftest import EXAMPLES, asks, data_url
from .test_fields import CHAT, HOT, TOKENIZE, content
from .test_guard import assert_refused, post

SQUARES, CIRCLE = EXAMPLES / "three_squares.png", EXAMPLES / "red_circle.png"


class Zoom(BaseModel):
    model_config = ConfigDict(extra="forbid")
    left: int = Field(ge=0, le=999)
    name: str = Field(max_length=8)


class Empty(BaseModel):
    model_config = ConfigDict(extra="forbid")


def tool(name: str, arguments: type[BaseModel]) -> dict[str, Any]:
    own = {"name": name, "description": f"It does {name}.", "parameters": arguments.model_json_schema()}
    return {"type": "function", "function": own}


TOOLS = [tool("zoom", Zoom), tool("look", Empty)]
ARGUMENTS: dict[str, type[BaseModel]] = {"zoom": Zoom, "look": Empty}


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def streamed(client: openai.OpenAI, asked: dict[str, Any]) -> tuple[str, list[dict[str, str]], str]:
    """(content, calls, finish reason) of a stream, put together as clients do."""
    text, calls, reason = "", list[dict[str, str]](), ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        (choice,) = chunk.choices
        text += choice.delta.content or ""
        for part in choice.delta.tool_calls or ():
            if part.id:
                assert part.index == len(calls) and part.type == "function"
                calls.append({"id": part.id, "name": part.function.name, "arguments": ""})
            calls[part.index]["arguments"] += part.function.arguments
        reason = choice.finish_reason or reason
    return text, calls, reason


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"tool_choice": "required", "parallel_tool_calls": False}, {"zoom", "look"}),
        ({"tool_choice": {"type": "function", "function": {"name": "zoom"}}}, {"zoom"}),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, {"look"}),
    ],
)
@pytest.mark.parametrize("temperature", [0, 1.5])
def test_a_call_has_its_schema(client, more, names, temperature) -> None:
    asked = {"model": "nano", "messages": asks("describe the picture", SQUARES), "tools": TOOLS, "max_tokens": 200}
    asked |= {"temperature": temperature, "seed": 2, **more}
    choice = client.chat.completions.create(**asked).choices[0]
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    assert call.function.name in names and call.id.startswith("call_")
    ARGUMENTS[call.function.name].model_validate_json(call.function.arguments)
    text, (found,), reason = streamed(client, asked)
    assert (text, reason) == ("", "tool_calls")
    assert (found["name"], found["arguments"]) == (call.function.name, call.function.arguments)


def test_several_calls_at_once(client) -> None:
    """The answer's end is made unlikely, so that calls follow each other until the answer is cut."""
    asked = {"model": "nano", "messages": HOT, "tools": [tool("look", Empty)], "tool_choice": "required"}
    asked |= {"max_tokens": 150, "logit_bias": {"2": -100}}
    choice = client.chat.completions.create(**asked).choices[0]
    calls = choice.message.tool_calls
    assert len(calls) > 1 and len({call.id for call in calls}) == len(calls)
    assert choice.finish_reason == "length" and all(json.loads(call.function.arguments) == {} for call in calls[:-1])
    _, found, reason = streamed(client, asked)
    assert [call["arguments"] for call in found] == [call.function.arguments for call in calls] and reason == "length"


def test_without_a_call_the_answer_is_text(client, address) -> None:
    asked = {"model": "nano", "messages": asks("describe the picture", SQUARES), "tools": TOOLS, "max_tokens": 12}
    asked["extra_body"] = {"min_tokens": 6}  # such a prompt leaves nano speechless
    for choice in ("auto", "none"):
        found = client.chat.completions.create(**asked, tool_choice=choice).choices[0]
        assert found.message.tool_calls is None and found.message.content
        assert streamed(client, asked | {"tool_choice": choice})[:2] == (found.message.content, [])
    with_scores = client.chat.completions.create(**asked, logprobs=True)
    assert len(with_scores.choices[0].logprobs.content) == with_scores.usage.completion_tokens
    assert content(post(address, {"messages": HOT, "tools": []})) == "cold"


def test_what_tools_return_is_read_images_too(client, address, session) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": '{"left": 3, "name": "x"}'}}
    picture = {"type": "image_url", "image_url": {"url": data_url(CIRCLE)}}
    talk = [
        *HOT,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": [picture, {"type": "text", "text": "the crop"}]},
    ]
    found = post(address, {"messages": talk, "tools": TOOLS}, "/tokenize").json()["tokens"]
    local = [*talk[:-1], {"role": "tool", "content": [{"type": "image", "image": CIRCLE}, talk[-1]["content"][1]]}]
    assert found == session.processor.encode(local, tools=TOOLS, add_generation_prompt=True).input_ids.tolist()
    answer = client.chat.completions.create(model="nano", messages=talk, tools=TOOLS, max_tokens=8)
    assert answer.usage.prompt_tokens == len(found)


def test_a_model_without_the_training_is_warned_of_once(serving, caplog) -> None:
    with caplog.at_level(logging.WARNING, "pixelword.serving"), serving() as address:
        for _ in range(2):
            post(address, {"messages": HOT, "tools": TOOLS, "max_tokens": 2})
    assert sum("was not trained with tools" in record.message for record in caplog.records) == 1


WRONG = {"type": "function", "function": {"name": "a", "parameters": {"properties": {"b": {"type": 1}}}}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"tools": [TOOLS[0], TOOLS[0]]}, ["tools", "the name zoom"]),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, ["tool_choice", "named x"]),
        ({"tools": TOOLS, "response_format": {"type": "json_object"}}, ["tools", "also have a form"]),
        ({"tools": [WRONG]}, ["tools[0].function.parameters.properties.b"]),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, ["tools.0.function.name"]),
        ({"tools": TOOLS, "tool_choice": "maybe"}, ["tool_choice"]),
    ],
)
def test_what_is_wrong_is_named(address, body, words) -> None:
    message = assert_refused(post(address, {"messages": HOT} | body), 400)
    assert all(word in message for word in words), message


class Seen(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int = Field(ge=0, le=9)


def test_messages_that_the_client_parsed_are_sent_back_as_they_are(client) -> None:
    """It adds `parsed`, `parsed_arguments` and, of a stream, `index`."""
    talk: list[Any] = asks("find the red square", SQUARES)
    how: dict[str, Any] = {"model": "nano", "max_tokens": 100}
    calling: dict[str, Any] = {"tools": [openai.pydantic_function_tool(Zoom, name="zoom")], "tool_choice": "required"}
    calling |= {"parallel_tool_calls": False, **how}

    def go_on(message: Any) -> None:
        talk.append(message)
        talk.extend({"role": "tool", "tool_call_id": call.id, "content": "done"} for call in message.tool_calls or ())
        talk.append({"role": "user", "content": "and now?"})

    go_on(client.chat.completions.parse(messages=talk, response_format=Seen, **how).choices[0].message)
    assert isinstance(talk[1].parsed, Seen)
    go_on(client.chat.completions.parse(messages=talk, **calling).choices[0].message)
    assert isinstance(talk[-3].tool_calls[0].function.parsed_arguments, Zoom)
    with client.chat.completions.stream(messages=talk, **calling) as stream:
        go_on(stream.get_final_completion().choices[0].message)
    assert talk[-3].tool_calls[0].index == 0
    with client.chat.completions.stream(messages=talk, **how) as stream:
        go_on(stream.get_final_completion().choices[0].message)
    assert client.chat.completions.create(messages=talk, **how).usage.prompt_tokens


@pytest.mark.parametrize("parameters", [{}, {"properties": {"a": {"type": "integer"}}}, {"type": ["object", "null"]}])
def test_arguments_are_an_object_even_if_the_schema_does_not_say_so(client, parameters) -> None:
    free = {"type": "function", "function": {"name": "free", "parameters": parameters}}
    asked = {"model": "nano", "messages": HOT, "tools": [free], "tool_choice": "required", "max_tokens": 80}
    for seed in range(3):
        choice = client.chat.completions.create(**asked, temperature=2, seed=seed).choices[0]
        assert choice.message.tool_calls[0].function.arguments.startswith("{"), choice.message


def test_a_call_that_a_stop_string_cut_is_not_reported_as_whole(client) -> None:
    asked = {"model": "nano", "messages": HOT, "tools": [TOOLS[0]], "tool_choice": "required", "stop": ['"left"']}
    assert client.chat.completions.create(**asked).choices[0].finish_reason == "stop"
    assert streamed(client, asked)[2] == "stop"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": HOT}),
        (TOKENIZE, {"messages": HOT}),
        ("/v1/responses", {"input": "hot"}),
        ("/v1/responses/input_tokens", {"input": "hot"}),
        ("/v1/messages", {"messages": HOT, "max_tokens": 4}),
        ("/v1/messages/count_tokens", {"messages": HOT}),
    ],
)
def test_the_characters_of_tools_count(address, path, body) -> None:
    """Whether they may be called or not."""
    own = {"name": "look", "description": "x" * 200_000}
    tools = {"messages": [own | {"input_schema": {}}], "responses": [own | {"type": "function"}]}
    found = next((tools[name] for name in tools if f"/v1/{name}" in path), [{"type": "function", "function": own}])
    none = {"tool_choice": {"type": "none"} if "/v1/messages" in path else "none"}
    answer = post(address, body | {"tools": found} | (none if path != TOKENIZE else {}), path)
    assert answer.status_code == 400 and "more than the 200,000" in answer.json()["error"]["message"], answer.text


def nested(levels: int) -> str:
    return '{"a": ' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ('{"a": NaN}', "not JSON"),
        ('{"a": [1e999]}', "not JSON"),
        (nested(300), "levels"),
        ('{"a": "\\ud800"}', "surrog"),
    ],
)
@pytest.mark.parametrize("choice", ["none", "auto"])
def test_schemas_that_are_not_json_are_refused(address, choice, parameters, words) -> None:
    for path, body, before, after in (
        (CHAT, {"messages": HOT}, '{"type": "function", "function": {"name": "f", "parameters": ', "}}"),
        ("/v1/responses", {"input": "hot"}, '{"type": "function", "name": "f", "parameters": ', "}"),
    ):
        text = json.dumps(body | {"tool_choice": choice, "tools": ["TOOL"]})
        text = text.replace('"TOOL"', before + parameters + after)
        headers = {"Content-Type": "application/json"}
        message = assert_refused(httpx.post(f"{address}{path}", content=text, headers=headers, timeout=60), 400)
        assert words in message and "parameters" in message

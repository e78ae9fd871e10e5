"""Answers that must have a form, by the official client and on the wire."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel, ConfigDict, Field

pytest.importorskip("llguidance", reason='answers with a form need pip install "pixelword[structured]"')

from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.serving.settings import Settings
from pixelword.serving.state import Server

from .conftest import EXAMPLES, asks
from .test_fields import CHAT, HOT, PLAIN, content
from .test_guard import assert_refused, post

SQUARES = EXAMPLES / "three_squares.png"


class Seen(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: Literal["red", "green", "blue"]
    count: int = Field(ge=0, le=9)


class Colour(BaseModel):
    colour: Literal["red", "green", "blue"]


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def test_the_client_parses_a_pydantic_model(client) -> None:
    messages = asks("describe the picture", SQUARES)
    found = client.chat.completions.parse(model="nano", messages=messages, response_format=Seen, max_tokens=64)
    assert isinstance(found.choices[0].message.parsed, Seen) and found.choices[0].finish_reason == "stop"


def test_a_stream_with_log_probabilities_and_several_answers(client) -> None:
    schema = {"name": "seen", "strict": True, "schema": Seen.model_json_schema()}
    asked: dict[str, Any] = {"model": "nano", "messages": HOT, "max_tokens": 64, "n": 2, "temperature": 1.0, "seed": 3}
    asked |= {"response_format": {"type": "json_schema", "json_schema": schema}, "logprobs": True, "top_logprobs": 4}
    whole = client.chat.completions.create(**asked)
    texts = ["", ""]
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            for entry in choice.logprobs.content if choice.logprobs else ():
                assert 1 <= len(entry.top_logprobs) <= 4
    assert texts == [choice.message.content for choice in whole.choices]
    assert all(Seen.model_validate_json(text) for text in texts)


def test_responses_have_a_form(client) -> None:
    found = client.responses.parse(model="nano", input="describe a scene", text_format=Seen, max_output_tokens=64)
    assert isinstance(found.output_parsed, Seen) and found.text.format.name == "Seen"
    plain = {"format": {"type": "json_object"}}
    answer = client.responses.create(model="nano", input="hot", text=plain, max_output_tokens=200, temperature=1)
    assert answer.status == "incomplete" or isinstance(json.loads(answer.output_text), dict)


def test_anthropic_s_client_gets_a_form(address) -> None:
    client = anthropic.Anthropic(base_url=address, api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "describe a scene"}]
    found = client.messages.parse(model="nano", max_tokens=64, messages=messages, output_format=Colour)
    assert isinstance(found.parsed_output, Colour)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/responses", {"input": "x", "text": {"format": {"type": "json_schema", "name": "x"}}}, "text"),
        (
            "/v1/responses",
            {"input": "x", "text": {"format": {"type": "json_schema", "schema": {"type": "strange"}}}},
            "text.format.schema",
        ),
        (
            "/v1/messages",
            {"max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": {"type": "strange"}}}}
            | {"messages": [{"role": "user", "content": "x"}]},
            "output_config.format.schema",
        ),
    ],
)
def test_a_form_of_another_route_is_refused_by_its_own_field(address, body, path, field) -> None:
    answer = post(address, body, path)
    assert answer.status_code == 400 and field in answer.json()["error"]["message"], answer.text


def test_an_answer_that_is_cut_says_so(client) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "seen", "schema": Seen.model_json_schema()}}
    found = client.chat.completions.create(model="nano", messages=HOT, max_tokens=4, response_format=form)
    assert found.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("form", "accepts"),
    [
        ({"choice": ["warm", "icy"]}, lambda text: text in ("warm", "icy")),
        ({"regex": r"[a-z]{3}\d"}, lambda text: re.fullmatch(r"[a-z]{3}\d", text)),
        ({"grammar": 'root ::= "yes" | "no"'}, lambda text: text in ("yes", "no")),
        ({"json": {"enum": [1, 2]}}, lambda text: json.loads(text) in (1, 2)),
        ({"json": json.dumps({"enum": [1, 2]})}, lambda text: json.loads(text) in (1, 2)),
    ],
)
def test_vllm_s_forms(address, form, accepts) -> None:
    assert accepts(content(post(address, {"messages": HOT, "structured_outputs": form})))
    plain = post(address, {"prompt": "hot", "structured_outputs": form, "max_tokens": 20}, PLAIN).json()
    assert accepts(plain["choices"][0]["text"])


def test_any_object_and_text(address) -> None:
    found = post(address, {"messages": HOT, "response_format": {"type": "json_object"}, "max_tokens": 30}).json()
    assert found["choices"][0]["message"]["content"].startswith("{")
    assert content(post(address, {"messages": HOT, "response_format": {"type": "text"}})) == "cold"


def schema(part: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": part}}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            schema({"properties": {"a": {"items": {"type": "strin"}}}}),
            ["response_format.json_schema.schema.properties.a.items: Invalid type: strin"],
        ),
        (schema([]), ["response_format.json_schema.schema"]),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, ["json_schema.schema"]),
        ({"structured_outputs": {"regex": "[a-"}}, ["structured_outputs.regex", "unclosed"]),
        ({"structured_outputs": {"grammar": "start: foo"}}, ["structured_outputs.grammar, line 1, column 8"]),
        ({"structured_outputs": {"choice": ["a"], "regex": "a"}}, ["structured_outputs: choice and regex given"]),
        ({"structured_outputs": {}}, ["structured_outputs: nothing given"]),
        ({"structured_outputs": {"choice": [""]}}, ["structured_outputs.choice"]),
        ({"structured_outputs": {"json": "[" * 100_000}}, ["structured_outputs.json", "levels"]),
        ({"structured_outputs": {"jsonn": {}}}, ["structured_outputs.jsonn"]),
        ({"structured_outputs": {"regex": "a"}} | schema({}), ["another form"]),
        ({"structured_outputs": {"regex": "a" * 200_001}}, ["structured_outputs.regex", "200,000"]),
        ({"structured_outputs": {"regex": "a"}, "ignore_eos": True}, ["ignore_eos"]),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_answered(address, body, words, stream) -> None:
    refused = post(address, {"messages": HOT, "stream": stream} | body, CHAT)
    message = assert_refused(refused, 400)
    assert all(word in message for word in words), message
    assert refused.json()["error"]["param"].split(".")[0] in ("response_format", "structured_outputs", "ignore_eos")


def test_forms_that_are_compiled_count_as_load(engine, workers) -> None:
    async def load() -> list[int]:
        server = Server(engine, workers, Settings())
        task = asyncio.create_task(server.compile(StructuredOutputs(regex="a|b")))
        await asyncio.sleep(0)
        during = server._preparing
        await task
        return [during, server._preparing]

    assert asyncio.run(load()) == [1, 0]

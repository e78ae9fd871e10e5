"""`/openapi.json` is complete, the server does what it says, and no body whatever makes it fail."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixelword.serving.format_messages import MessagesError

from .test_guard import FULL, JSON, assert_refused, mutated
from .test_messages import asks as blocks
from .test_responses import CIRCLE
from .test_responses import asks as parts

SCHEMA = {"type": "object", "properties": {"side": {"enum": ["left", "right"]}}, "required": ["side"]}
TOOL = {"name": "crop", "description": "Cuts.", "parameters": SCHEMA}
#: Calls of a tool and their results, with images, in each form; and the tool.
CHAT_TOOLS = {
    "messages": [
        *FULL["messages"],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "crop", "arguments": '{"side": "left"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "cut"}]},
    ],
    "tools": [{"type": "function", "function": TOOL}],
    "tool_choice": {"type": "function", "function": {"name": "crop"}},
    "parallel_tool_calls": False,
}
RESPONSE_TOOLS = {
    "input": [
        *parts("what is it?", CIRCLE),
        {"type": "function_call", "call_id": "a", "name": "crop", "arguments": '{"side": "left"}'},
        {"type": "function_call_output", "call_id": "a", "output": parts("cut", CIRCLE)[0]["content"]},
    ],
    "tools": [{"type": "function", **TOOL}],
    "tool_choice": {"type": "function", "name": "crop"},
    "parallel_tool_calls": False,
}
MESSAGE_TOOLS = {
    "messages": [
        *blocks("what is it?", CIRCLE),
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "crop", "input": {"side": "left"}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "a", "content": blocks("cut", CIRCLE)[0]["content"]}],
        },
    ],
    "tools": [{"name": "crop", "description": "Cuts.", "input_schema": SCHEMA}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
}
#: A request of each route with most of its fields.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": FULL,
    "/v1/completions": {"prompt": ["what is"], "max_tokens": 4, "logprobs": 1, "stop": ["x"], "echo": False},
    "/v1/responses": {
        "input": [*parts("what is it?", CIRCLE), {"type": "message", "role": "assistant", "content": "a circle"}],
        "instructions": "be brief", "max_output_tokens": 4, "top_logprobs": 1, "metadata": {"a": "b"}, "store": True,
        "text": {"format": {"type": "text"}}, "include": ["message.output_text.logprobs"], "stream": False, "seed": 1,
        "previous_response_id": None, "tools": [], "reasoning": {"effort": None},
    },
    "/v1/responses/input_tokens": {"input": parts("what is it?", CIRCLE), "instructions": "be brief"},
    "/v1/messages": {
        "max_tokens": 4, "system": [{"type": "text", "text": "be brief"}], "messages": blocks("what is it?", CIRCLE),
        "stop_sequences": ["x"], "top_k": 5, "top_p": 0.9, "temperature": 0.5, "stream": False, "metadata": {},
        "thinking": {"type": "disabled"}, "output_config": {"format": None},
    },
    "/v1/messages/count_tokens": {"system": "be brief", "messages": blocks("what is it?", CIRCLE)},
    "/v1/embeddings": {"input": ["a red circle", "b"], "pooling": "last", "encoding_format": "base64", "user": "me"},
    "/tokenize": {"prompt": "what is it?", "return_token_strs": True},
}  # fmt: skip
#: (route, body): the above, and others with tools.
MUTATED = {
    **{path: (path, body) for path, body in BODIES.items()},
    "chat with tools": ("/v1/chat/completions", {"max_tokens": 4, "stream": False, **CHAT_TOOLS}),
    "responses with tools": ("/v1/responses", {"max_output_tokens": 4, "stream": False, **RESPONSE_TOOLS}),
    "messages with tools": ("/v1/messages", {"max_tokens": 4, "stream": False, **MESSAGE_TOOLS}),
    "tokenize with tools": ("/tokenize", {name: CHAT_TOOLS[name] for name in ("messages", "tools")}),
}


def description(address: str) -> dict[str, Any]:
    return httpx.get(f"{address}/openapi.json").json()


def test_every_route_is_described(address) -> None:
    found = description(address)
    assert set(BODIES) | {"/v1/explain"} == {path for path, ways in found["paths"].items() if "post" in ways}
    for path, ways in found["paths"].items():
        for way, operation in ways.items():
            statuses = operation["responses"]
            if path == "/health":
                continue
            assert {"200", "401", "403", "500"} <= set(statuses), path
            assert all(answer.get("content") for answer in statuses.values()), path
            kind = "MessagesError" if path.startswith("/v1/messages") else "Error"
            for status, answer in statuses.items():
                if status != "200":
                    assert answer["content"]["application/json"]["schema"]["$ref"].endswith(f"/{kind}"), path
            if way == "post":
                assert {"400", "404", "413", "422", "429", "503"} <= set(statuses)
                assert operation["requestBody"]["content"]["application/json"]["example"]
    assert "HTTPValidationError" not in json.dumps(found)
    assert set(found["components"]["securitySchemes"]) == {"bearer", "key"}


def test_the_examples_are_requests(address) -> None:
    for path, ways in description(address)["paths"].items():
        if "post" in ways:
            example = ways["post"]["requestBody"]["content"]["application/json"]["example"]
            answer = httpx.post(f"{address}{path}", json=example, timeout=120)
            assert answer.status_code == 200, (path, answer.text)


def test_the_bodies_that_are_mutated_are_requests(brief) -> None:
    for path, body in MUTATED.values():
        answer = httpx.post(f"{brief}{path}", json=body, timeout=120)
        assert answer.status_code == 200, (path, answer.text)


def mutate(address: str, name: str, number: int) -> None:
    path, valid = MUTATED[name]
    client = httpx.Client(timeout=120)

    @settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.composite(lambda draw: mutated(draw, valid))())
    def check(body: Any) -> None:
        answer = client.post(f"{address}{path}", content=json.dumps(body).encode(), headers=JSON)
        assert answer.status_code < 500, (answer.status_code, answer.text, body)
        if answer.status_code >= 400 and path.startswith("/v1/messages"):
            MessagesError.model_validate(answer.json())
        elif answer.status_code >= 400:
            assert_refused(answer, answer.status_code)

    check()


@pytest.fixture(scope="module")
def brief(serving):
    """A server whose answers are short, whatever a request says."""
    with serving(default_max_tokens=4, max_tokens=8) as address:
        yield address


@pytest.mark.parametrize("name", MUTATED)
def test_some_mutated_bodies_do_no_harm(brief, name) -> None:
    mutate(brief, name, 15)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATED)
def test_mutated_bodies_do_no_harm(brief, name) -> None:
    mutate(brief, name, 300)


@pytest.mark.slow
def test_the_server_does_what_its_description_says(brief, tmp_path, monkeypatch) -> None:
    """schemathesis makes requests from the description, valid and not."""
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
        "response_schema_conformance,unsupported_method,use_after_free,ensure_resource_availability"
    )
    monkeypatch.chdir(tmp_path)  # it leaves a folder behind
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{brief}/openapi.json", "--checks", checks]
    command += ["--max-examples", "20", "--seed", "1", "--phases", "examples,coverage,fuzzing"]
    command += ["--request-timeout", "120", "--suppress-health-check", "all", "--continue-on-failure", "--no-shrink"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]

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


def mutate(address: str, path: str, number: int) -> None:
    client = httpx.Client(timeout=120)

    @settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.composite(lambda draw: mutated(draw, BODIES[path]))())
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


@pytest.mark.parametrize("path", BODIES)
def test_some_mutated_bodies_do_no_harm(brief, path) -> None:
    mutate(brief, path, 15)


@pytest.mark.slow
@pytest.mark.parametrize("path", BODIES)
def test_mutated_bodies_do_no_harm(brief, path) -> None:
    mutate(brief, path, 300)


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

"""Anthropic's own client gets the answers that a session gives."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from .conftest import EXAMPLES
from .test_guard import JSON, post

CIRCLE, SQUARES, SIDES = (EXAMPLES / f"{name}.png" for name in ("red_circle", "three_squares", "left_right"))
COLOUR, DESCRIBE = "what colour is the circle?", "describe the picture"
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"


@pytest.fixture
def client(address: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=address, api_key="none", max_retries=0)


def image(path: Path) -> dict[str, Any]:
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def asks(text: str, *images: Path) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*map(image, images), {"type": "text", "text": text}]}]


@pytest.mark.parametrize(
    ("question", "images"), [(COLOUR, [CIRCLE]), ("which picture has more objects?", [SIDES, SQUARES])]
)
def test_answers_are_a_session_s(client, session, question, images) -> None:
    found = client.messages.create(model="nano", max_tokens=64, messages=asks(question, *images))
    assert found.content[0].text == session.ask(question, images=images)
    assert (found.role, found.model, found.stop_reason, found.stop_sequence) == ("assistant", "nano", "end_turn", None)
    assert found.id.startswith("msg_") and found._request_id and found._request_id in found.id


def test_a_stream_is_the_answer_in_pieces(client, session) -> None:
    with client.messages.stream(model="nano", max_tokens=64, messages=asks(DESCRIBE, SQUARES)) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    named = [kind for kind in dict.fromkeys(kinds) if kind not in ("text", "ping")]
    assert named == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert message.content[0].text == session.ask(DESCRIBE, images=SQUARES)
    whole = client.messages.create(model="nano", max_tokens=64, messages=asks(DESCRIBE, SQUARES))
    assert message.stop_reason == whole.stop_reason == "end_turn"
    total = [found.usage.input_tokens + found.usage.cache_read_input_tokens for found in (message, whole)]
    assert total[0] == total[1] and message.usage.output_tokens == whole.usage.output_tokens > 3
    assert whole.usage.cache_read_input_tokens > 0


def test_a_ping_comes_before_the_first_text(address) -> None:
    body = {"model": "nano", "max_tokens": 8, "stream": True, "messages": asks(COLOUR, CIRCLE)}
    lines = post(address, body, MESSAGES).text.splitlines()
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert names[:4] == ["message_start", "content_block_start", "ping", "content_block_delta"]


def test_why_an_answer_ended(client, session) -> None:
    whole = session.ask(DESCRIBE, images=SQUARES)
    ask = {"model": "nano", "messages": asks(DESCRIBE, SQUARES)}
    short = client.messages.create(**ask, max_tokens=2)
    assert short.stop_reason == "max_tokens" and short.usage.output_tokens == 2
    stopped = client.messages.create(**ask, max_tokens=64, stop_sequences=[" at the"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " at the")
    assert stopped.content[0].text == whole.split(" at the")[0]


def test_an_answer_may_have_what_the_context_has_left(client) -> None:
    """More than 2,048 tokens is what many clients allow; it ends the answer, not the request."""
    messages = [{"role": "user", "content": "a " * 2000}]
    found = client.messages.create(
        model="nano", max_tokens=4000, messages=messages, extra_body={"temperature": 1, "top_k": 0}
    )
    assert found.stop_reason in ("end_turn", "model_context_window_exceeded")


def test_more_tokens_than_the_server_gives_mean_what_it_gives(serving) -> None:
    with serving(max_tokens=2) as address:
        client = anthropic.Anthropic(base_url=address, api_key="none", max_retries=0)
        found = client.messages.create(model="nano", max_tokens=16_000, messages=asks(DESCRIBE, SQUARES))
    assert (found.usage.output_tokens, found.stop_reason) == (2, "max_tokens")
    assert found.usage.input_tokens + found.usage.output_tokens <= 2048


def test_the_system_prompt_and_turns_are_a_chat_s(client, session) -> None:
    turns = [*asks(COLOUR, CIRCLE), {"role": "assistant", "content": "red"}, {"role": "user", "content": "and now?"}]
    for system in ("be brief", [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]):
        count = client.messages.count_tokens(model="nano", system=system, messages=turns).input_tokens
        text = system if isinstance(system, str) else "be\nbrief"
        chat = [
            {"role": "system", "content": text},
            {"role": "user", "content": [{"type": "image", "image": CIRCLE}, {"type": "text", "text": COLOUR}]},
            {"role": "assistant", "content": "red"},
            {"role": "user", "content": "and now?"},
        ]
        assert count == len(session.processor.encode(chat, add_generation_prompt=True))


def test_adjacent_turns_are_joined_and_the_assistant_s_last_is_continued(client) -> None:
    hot = [{"role": "user", "content": "what is the "}, {"role": "user", "content": "opposite of hot?"}]
    joined = [{"role": "user", "content": "what is the opposite of hot?"}]
    counts = [client.messages.count_tokens(model="nano", messages=messages).input_tokens for messages in (hot, joined)]
    assert counts[0] == counts[1]
    begun = [*hot, {"role": "assistant", "content": "co"}]
    assert client.messages.create(model="nano", max_tokens=8, messages=begun).content[0].text == "ld"


def test_the_key_is_anthropic_s_header_and_errors_are_its_own(serving) -> None:
    with serving(api_keys=("secret",)) as address:
        good = anthropic.Anthropic(base_url=address, api_key="secret", max_retries=0)
        ask = {"model": "nano", "max_tokens": 4, "messages": asks(COLOUR, CIRCLE)}
        assert good.messages.create(**ask).content[0].text == "red"
        assert good.models.list().data[0].id == "nano"
        with pytest.raises(anthropic.AuthenticationError) as error:
            anthropic.Anthropic(base_url=address, api_key="wrong", max_retries=0).messages.create(**ask)
        assert error.value.body["type"] == "error" and error.value.body["error"]["type"] == "authentication_error"
        with pytest.raises(anthropic.NotFoundError, match="does not exist"):
            good.messages.create(**ask | {"model": "claude"})
        assert good.messages.create(**ask, extra_headers={"anthropic-version": "2023-06-01"}).content[0].text == "red"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "type"),
        ({"messages": [{"role": "assistant", "content": [image(CIRCLE)]}]}, "assistant"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]}, "url"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "text": "x"}]}]}, "source"),
        ({"stop": ["x"]}, "stop"),
        ({"system": [{"type": "image", "text": "x"}]}, "system"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_request_is_refused_by_name(address, change, word) -> None:
    good = {"model": "nano", "max_tokens": 4, "messages": asks(COLOUR, CIRCLE)}
    body = {name: value for name, value in (good | change).items() if value is not None}
    answer = post(address, body, MESSAGES)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"type", "error"} and answer.json()["error"]["type"] == "invalid_request_error"
    assert word in answer.json()["error"]["message"]


def test_limits_of_media_hold_here_too(serving) -> None:
    body = {"model": "nano", "max_tokens": 4, "messages": asks(COLOUR, CIRCLE)}
    url = {"type": "image", "source": {"type": "url", "url": "https://127.0.0.1/a.png"}}
    with serving(max_body_bytes=300_000, limit_mm_per_prompt={"image": 1}) as address:
        for messages, status, kind in (
            (asks(COLOUR, CIRCLE, CIRCLE), 400, "invalid_request_error"),
            ([{"role": "user", "content": [url]}], 422, "invalid_request_error"),
            ([{"role": "user", "content": "a" * 400_000}], 413, "request_too_large"),
        ):
            answer = post(address, body | {"messages": messages}, MESSAGES)
            assert answer.status_code == status and answer.json()["error"]["type"] == kind
        assert httpx.post(f"{address}{MESSAGES}", content=b"{", headers=JSON).json()["type"] == "error"

"""OpenAI's own client gets the responses that a session gives, and continues them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from starlette.exceptions import HTTPException

from pixelword.serving.protocol_conversation import ChatMessage
from pixelword.serving.response_store import ResponseStore

from .conftest import EXAMPLES, data_url
from .test_guard import assert_refused, post
from .test_openai import _until

CIRCLE, SQUARES, SIDES = (EXAMPLES / f"{name}.png" for name in ("red_circle", "three_squares", "left_right"))
CLIP = EXAMPLES / "moving_right.mp4"
COLOUR, DESCRIBE, MOVES = "what colour is the circle?", "describe the picture", "which way does it move?"
RESPONSES = "/v1/responses"


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def asks(text: str, *images: Path) -> list[dict[str, Any]]:
    parts = [{"type": "input_image", "image_url": data_url(image), "detail": "auto"} for image in images]
    return [{"role": "user", "content": [*parts, {"type": "input_text", "text": text}]}]


def user(question: str, images: Sequence[Path]) -> dict[str, Any]:
    """The same in a session's form."""
    parts = [{"type": "image", "image": image} for image in images]
    return {"role": "user", "content": [*parts, {"type": "text", "text": question}]}


@pytest.mark.parametrize(
    ("question", "images"),
    [("what is 2 plus 3?", []), (COLOUR, [CIRCLE]), ("which picture has more objects?", [SIDES, SQUARES])],
)
def test_answers_are_a_session_s(client, session, question, images) -> None:
    asked = asks(question, *images) if images else question
    found = client.responses.create(model="nano", input=asked)
    expected = session.answer([user(question, images)])
    assert found.output_text == expected.text
    assert (found.status, found.error, found.incomplete_details, found.model) == ("completed", None, None, "nano")
    assert (found.usage.input_tokens, found.usage.output_tokens) == (expected.prompt_tokens, expected.new_tokens)
    assert found.usage.total_tokens == expected.prompt_tokens + expected.new_tokens
    again = client.responses.create(model="nano", input=asked)
    assert again.id != found.id and (again.usage.input_tokens_details.cached_tokens > 0 or not images)


def test_a_video_is_a_part_of_its_own(client, session) -> None:
    parts = [{"type": "input_video", "video_url": data_url(CLIP)}, {"type": "input_text", "text": MOVES}]
    found = client.responses.create(model="nano", input=[{"role": "user", "content": parts}])
    assert found.output_text == session.ask(MOVES, videos=CLIP)


def test_a_stream_is_the_response_in_events(client, session) -> None:
    events = list(client.responses.create(model="nano", input=asks(DESCRIBE, SQUARES), stream=True))
    assert [event.sequence_number for event in events] == [*range(len(events))]
    assert [*dict.fromkeys(event.type for event in events)] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    expected = session.ask(DESCRIBE, images=SQUARES)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == expected
    last = events[-1].response
    assert last.output_text == expected and last.usage.output_tokens > 3
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {last.output[0].id}
    assert client.responses.retrieve(last.id) == last
    with client.responses.stream(model="nano", input=asks(COLOUR, CIRCLE)) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == "red"


def test_a_response_is_continued_read_and_deleted(client, session) -> None:
    first = client.responses.create(
        model="nano", input=asks(COLOUR, CIRCLE), instructions="be brief", metadata={"a": "b"}
    )
    assert client.responses.retrieve(first.id) == first and first.metadata == {"a": "b"} and first.store
    second = client.responses.create(model="nano", input="and its shape?", previous_response_id=first.id)
    chat = [
        user(COLOUR, [CIRCLE]),
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "and its shape?"},
    ]
    assert second.usage.input_tokens == len(session.processor.encode(chat, add_generation_prompt=True))
    assert second.output_text == session.answer(chat).text and second.previous_response_id == first.id
    # the same by sending the output back
    output = [item.model_dump() for item in first.output]
    whole = [*asks(COLOUR, CIRCLE), *output, {"role": "user", "content": "and its shape?"}]
    assert client.responses.create(model="nano", input=whole).usage.input_tokens == second.usage.input_tokens
    assert client.responses.input_tokens.count(model="nano", input=whole).input_tokens == second.usage.input_tokens
    client.responses.delete(first.id)
    for call in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError, match="is stored here"):
            call(first.id)
    third = client.responses.create(model="nano", input="again?", previous_response_id=second.id)
    assert third.usage.input_tokens > second.usage.input_tokens  # what was deleted is still a part of later ones


def test_what_is_not_stored_is_not_found(client, serving) -> None:
    unstored = client.responses.create(model="nano", input="hello", store=False, max_output_tokens=4)
    assert not unstored.store
    with pytest.raises(openai.NotFoundError, match="store: false") as error:
        client.responses.create(model="nano", input="and?", previous_response_id=unstored.id)
    assert error.value.param == "previous_response_id"
    with serving(max_stored_bytes=0) as address:
        other = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        found = other.responses.create(model="nano", input="hello", max_output_tokens=4)
        assert not found.store
        with pytest.raises(openai.NotFoundError, match="stores no responses"):
            other.responses.create(model="nano", input="and?", previous_response_id=found.id)
        with pytest.raises(openai.BadRequestError, match="stores no responses"):
            other.responses.create(model="nano", input="hello", store=True)


def test_the_least_recently_used_response_is_evicted(serving) -> None:
    with serving(max_stored_responses=2) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        first, second = (client.responses.create(model="nano", input="hello", max_output_tokens=2) for _ in range(2))
        client.responses.retrieve(first.id)
        client.responses.create(model="nano", input="hello", max_output_tokens=2)
        client.responses.retrieve(first.id)
        with pytest.raises(openai.NotFoundError, match="evicted"):
            client.responses.retrieve(second.id)


def test_a_conversation_s_messages_are_held_and_counted_once() -> None:
    store = ResponseStore(max_responses=100, max_bytes=50_000)
    messages = [ChatMessage(role="user", content="a" * 30_000)]
    for number in range(10):
        messages = [*messages, ChatMessage(role="assistant", content="b" * 10)]
        store.put(str(number), b"{}", messages)
    assert len(store) == 10 and store.bytes == 30_000 + 10 * 10 + 10 * 2 + 11 * 1024  # 1,024: what a message takes
    store.put("large", b"{}", [ChatMessage(role="user", content="c" * 40_000)])
    assert len(store) == 1 and store.bytes == 40_002 + 1024
    store.put("too large", b"{}", [ChatMessage(role="user", content="c" * 60_000)])
    assert (len(store), store.bytes) == (0, 0)
    with pytest.raises(HTTPException, match="evicted"):
        store.get("large")


def test_empty_parts_count() -> None:
    store = ResponseStore(max_responses=100, max_bytes=50_000)
    store.put("empty", b"{}", [ChatMessage(role="user", content=[{"type": "text", "text": ""}] * 1000)])
    assert (len(store), store.bytes) == (0, 0)


def test_a_short_answer_is_incomplete(client) -> None:
    found = client.responses.create(model="nano", input=asks(DESCRIBE, SQUARES), max_output_tokens=2)
    assert found.status == "incomplete" and found.incomplete_details.reason == "max_output_tokens"
    assert found.usage.output_tokens == 2 and found.output[0].status == "incomplete"
    *_, last = client.responses.create(model="nano", input=asks(DESCRIBE, SQUARES), max_output_tokens=2, stream=True)
    assert last.type == "response.incomplete"


def test_log_probabilities_and_a_seed(client) -> None:
    found = client.responses.create(
        model="nano", input=asks(COLOUR, CIRCLE), include=["message.output_text.logprobs"], top_logprobs=2
    )
    logprobs = found.output[0].content[0].logprobs
    assert "".join(bytes(token.bytes).decode() for token in logprobs).startswith("red")
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in logprobs)

    def drawn(seed: int) -> str:
        how = {"temperature": 1.5, "max_output_tokens": 24, "extra_body": {"seed": seed}}
        return client.responses.create(model="nano", input=asks(DESCRIBE, SQUARES), **how).output_text

    assert drawn(5) == drawn(5) != drawn(6)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"max_output_tokens": 10**9}, "max_output_tokens"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"max_tokens": 4}, "max_tokens"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"text": {"format": {"type": "grammar"}}}, "format"),
        ({"input": [{"type": "function_call_output", "call_id": "x" * 1000, "output": "a"}]}, "call_id"),
        ({"input": [{"role": "robot", "content": "x"}]}, "role"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]}, "type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "x"}]}]}, "file_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "text": "x"}]}]}, "image_url"),
        ({"input": [{"role": "assistant", "content": asks("x", CIRCLE)[0]["content"]}]}, "assistant"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_request_is_refused_by_name(address, change, word) -> None:
    body = {name: value for name, value in ({"input": "hello"} | change).items() if value is not None}
    assert word in assert_refused(post(address, body, RESPONSES), 400)


def test_a_client_that_goes_away_frees_its_place(client, engine) -> None:
    stream = client.responses.create(model="nano", input="a " * 400, temperature=2, stream=True)
    next(iter(stream))
    stream.close()
    _until(lambda: engine.load == (0, 0))


def test_a_stored_response_is_not_streamed_again(address, client) -> None:
    found = client.responses.create(model="nano", input="hello", max_output_tokens=2)
    assert "stream" in assert_refused(httpx.get(f"{address}{RESPONSES}/{found.id}", params={"stream": True}), 400)

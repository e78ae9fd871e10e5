"""OpenAI's own client gets the answers that a session gives."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import openai
import pytest

from pixelword.generation.session import user_message

from .conftest import EXAMPLES, asks

CIRCLE, SQUARES, SIDES = (EXAMPLES / f"{name}.png" for name in ("red_circle", "three_squares", "left_right"))
CLIP = EXAMPLES / "moving_right.mp4"
DESCRIBE = "describe the picture"


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.mark.parametrize(
    ("messages", "question"),
    [
        (asks("what colour is the circle?", CIRCLE), user_message("what colour is the circle?", CIRCLE)),
        (
            asks("which picture has more objects?", SIDES, SQUARES),
            user_message("which picture has more objects?", [SIDES, SQUARES]),
        ),
        (asks("which way does it move?", video=CLIP), user_message("which way does it move?", videos=CLIP)),
        ([{"role": "user", "content": "what is 2 plus 3?"}], user_message("what is 2 plus 3?")),
    ],
    ids=["picture", "two pictures", "video", "words"],
)
def test_answers_are_a_session_s(client, session, messages, question) -> None:
    expected = session.answer([question])
    found = client.chat.completions.create(model="nano", messages=messages, max_tokens=64)
    assert found.choices[0].message.content == expected.text
    assert found.choices[0].finish_reason == "stop" and found.model == "nano" and found.id.startswith("chatcmpl-")
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (expected.prompt_tokens, expected.new_tokens)


def test_a_video_may_have_a_budget_of_frames(client) -> None:
    asked = {"model": "nano", "messages": asks("which way does it move?", video=CLIP), "max_tokens": 4}
    plain, named, grouped = (
        client.chat.completions.create(**asked, extra_body=more).usage.prompt_tokens
        for more in ({}, {"frame_budget": 2}, {"mm_processor_kwargs": {"frame_budget": 2}})
    )
    assert plain > named == grouped


def test_a_stream_is_the_answer_in_pieces_with_its_cost(client, session) -> None:
    stream = client.chat.completions.create(
        model="nano", messages=asks(DESCRIBE, SQUARES), stream=True, stream_options={"include_usage": True}
    )
    *chunks, cost = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == session.ask(DESCRIBE, images=SQUARES)
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert not cost.choices and cost.usage.completion_tokens > 3


def test_the_asynchronous_client_asks_many_at_once(address, session) -> None:
    expected = [session.ask(DESCRIBE, images=SQUARES), session.ask("what colour is the circle?", images=CIRCLE)]

    async def all_of_them() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
            asked = [asks(DESCRIBE, SQUARES), asks("what colour is the circle?", CIRCLE)] * 6
            ask = client.chat.completions.create
            answers = await asyncio.gather(*(ask(model="nano", messages=item, max_tokens=64) for item in asked))
            return [answer.choices[0].message.content for answer in answers]

    assert asyncio.run(all_of_them()) == expected * 6


def test_several_answers_and_a_seed(client) -> None:
    def drawn(seed: int) -> list[str | None]:
        found = client.chat.completions.create(
            model="nano", messages=asks(DESCRIBE, SQUARES), n=3, temperature=1.5, seed=seed, max_tokens=24
        )
        assert [choice.index for choice in found.choices] == [0, 1, 2]
        return [choice.message.content for choice in found.choices]

    first = drawn(5)
    assert first == drawn(5) and first != drawn(6) and len(set(first)) > 1


def test_logprobs_and_stop(client, session) -> None:
    whole = session.ask(DESCRIBE, images=SQUARES)
    found = client.chat.completions.create(
        model="nano", messages=asks(DESCRIBE, SQUARES), logprobs=True, top_logprobs=2, stop=[" at the"]
    ).choices[0]
    assert found.message.content == whole.split(" at the")[0]
    for token in found.logprobs.content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 2
        assert token.token in [other.token for other in token.top_logprobs]


def test_plain_completions_go_on(client) -> None:
    found = client.completions.create(model="nano", prompt=["what is", "the"], max_tokens=5, logprobs=1)
    assert len(found.choices) == 2 and found.usage.completion_tokens <= 10
    assert len(found.choices[0].logprobs.token_logprobs) == len(found.choices[0].logprobs.tokens)
    pieces = list(client.completions.create(model="nano", prompt="what is", max_tokens=5, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == found.choices[0].text


def test_what_servers_tell_of_themselves(client, address) -> None:
    (model,) = client.models.list().data
    assert model.id == "nano" and model.max_model_len == 2048
    client.chat.completions.create(model="nano", messages=asks("what colour is the circle?", CIRCLE))
    figures = httpx.get(f"{address}/metrics").text
    for name in ("num_requests_running", "prompt_tokens_total", "time_to_first_token_seconds_count"):
        assert f'vllm:{name}{{model_name="nano"}}' in figures
    assert httpx.get(f"{address}/version").json()["version"]
    told = httpx.post(f"{address}/tokenize", json={"prompt": "what is it?", "return_token_strs": True}).json()
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"])
    answer = httpx.get(f"{address}/health", headers={"X-Request-Id": "mine-1"})
    assert answer.status_code == 200 and answer.headers["X-Request-Id"] == "mine-1"


def test_a_model_is_asked_for_by_its_name(client, address, serving) -> None:
    assert client.models.retrieve("nano") == client.models.list().data[0]
    with pytest.raises(openai.NotFoundError, match="`gpt` does not exist"):
        client.models.retrieve("gpt")
    with serving(served_model_name="org/model") as other:
        assert httpx.get(f"{other}/v1/models/org/model").json()["id"] == "org/model"


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/models/nano", "/version", "/metrics"])
def test_monitors_ask_for_headers_alone(address, path) -> None:
    found = httpx.head(f"{address}{path}")
    assert found.status_code == 200 and not found.content


def test_a_client_that_goes_away_frees_its_place(client, address, engine) -> None:
    def aborted() -> float:
        lines = httpx.get(f"{address}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if "request_success_total" in line and '"abort"' in line)

    endless, before = {"ignore_eos": True}, aborted()
    stream = client.chat.completions.create(
        model="nano", messages=asks(DESCRIBE, SQUARES), max_tokens=1500, stream=True, extra_body=endless
    )
    next(iter(stream))
    _until(lambda: engine.load == (1, 0))
    stream.close()
    _until(lambda: engine.load == (0, 0))

    async def leave() -> None:
        """Once the answer has begun: a picture takes a while to be read on a busy machine."""
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as other:
            ask = other.chat.completions.create
            asking = ask(model="nano", messages=asks(DESCRIBE, SQUARES), max_tokens=1500, extra_body=endless)
            answer = asyncio.ensure_future(asking)
            await asyncio.to_thread(_until, lambda: engine.load == (1, 0))
            answer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await answer

    asyncio.run(leave())
    _until(lambda: engine.load == (0, 0))
    _until(lambda: aborted() == before + 2)  # nobody listened, and both are in the figures


def test_overload_is_told_and_passes(serving, engine) -> None:
    with serving(max_waiting=1) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)

        def ask(tokens: int) -> None:
            client.chat.completions.create(
                model="nano",
                messages=[{"role": "user", "content": "what is it?"}],
                max_tokens=tokens,
                extra_body={"ignore_eos": True},
            )

        streams = [
            client.chat.completions.create(
                model="nano",
                messages=[{"role": "user", "content": "what is it?"}],
                max_tokens=1900,
                stream=True,
                extra_body={"ignore_eos": True},
            )
            for _ in range(engine.options.max_num_seqs)
        ]
        _until(lambda: engine.load[0] == engine.options.max_num_seqs)
        waiting = threading.Thread(target=ask, args=(2,))
        waiting.start()
        _until(lambda: engine.load[1] == 1)
        with pytest.raises(openai.RateLimitError) as error:
            ask(2)
        assert error.value.response.headers["Retry-After"] == "2"
        for stream in streams:
            stream.close()
        waiting.join(30)
        assert not waiting.is_alive()
        ask(2)


def _until(true, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)

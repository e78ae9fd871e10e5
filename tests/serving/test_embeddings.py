"""OpenAI's own client gets a session's vectors; images come in vLLM's form."""

from __future__ import annotations

import openai
import pytest
import torch

from .conftest import EXAMPLES, asks
from .test_guard import assert_refused, post

CIRCLE = EXAMPLES / "red_circle.png"
EMBEDDINGS = "/v1/embeddings"
TEXTS = ["a red circle", "what is the opposite of hot?"]


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.mark.parametrize("pooling", [None, "mean", "last"])
@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_vectors_are_a_session_s(client, session, pooling, encoding) -> None:
    more = {} if encoding is None else {"encoding_format": encoding}
    found = client.embeddings.create(model="nano", input=TEXTS, extra_body={"pooling": pooling}, **more)
    expected = session.embed(TEXTS, pooling=pooling or "mean")
    assert [item.index for item in found.data] == [0, 1]
    if encoding == "base64":  # the client decodes what it asked for itself alone
        assert all(isinstance(item.embedding, str) for item in found.data)
        return
    assert torch.allclose(torch.tensor([item.embedding for item in found.data]), expected, atol=1e-5)
    tokens = [session.processor.encoder.text(text) for text in TEXTS]
    assert found.usage.prompt_tokens == found.usage.total_tokens == sum(map(len, tokens))
    assert (found.model, found.pooling, found.normalized) == ("nano", pooling or "mean", True)
    for given in (tokens, tokens[0], TEXTS[0]):
        again = client.embeddings.create(model="nano", input=given, extra_body={"pooling": pooling}, **more)
        assert torch.allclose(torch.tensor(again.data[0].embedding), expected[0], atol=1e-5)


def test_an_answer_is_json_whatever_the_model_is_called(serving) -> None:
    name = 'a "data":[] model'
    with serving(served_model_name=name) as address:
        found = post(address, {"input": TEXTS, "model": name}, EMBEDDINGS).json()
    assert found["model"] == name and [item["index"] for item in found["data"]] == [0, 1]


def test_images_come_as_messages(address, session) -> None:
    body = {"messages": asks("describe the picture", CIRCLE), "encoding_format": "float"}
    found = post(address, body, EMBEDDINGS).json()
    parts = [{"type": "image", "image": CIRCLE}, {"type": "text", "text": "describe the picture"}]
    expected = session.embed([[{"role": "user", "content": parts}]])
    assert torch.allclose(torch.tensor([found["data"][0]["embedding"]]), expected, atol=1e-5)


def test_the_model_card_says_what_a_vector_is(client, session) -> None:
    size = session.model.config.llm_config.hidden_size
    card = client.models.retrieve("nano").embeddings
    assert card == {"dimensions": size, "pooling": ["mean", "last"], "normalized": True}
    found = client.embeddings.create(model="nano", input="a", dimensions=size)
    assert len(found.data[0].embedding) == size


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "input"),
        ({"input": "a", "messages": asks("x")}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [10**6]}, "1000000"),
        ({"input": [-1]}, "input"),
        ({"input": [1.5]}, "input"),
        ({"input": "a " * 3000}, "input"),
        ({"input": ["a"] * 3000}, "input"),
        ({"input": "a", "dimensions": 7}, "dimensions"),
        ({"input": "a", "pooling": "max"}, "pooling"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
        ({"messages": asks("x", *[CIRCLE] * 17)}, "17 images"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_request_is_refused_by_name(address, body, word) -> None:
    assert word in assert_refused(post(address, body, EMBEDDINGS), 400)


def test_control_tokens_are_text(address, session) -> None:
    """An image's token among a client's IDs stands for no image."""
    ids = [session.model.config.img_context_token_id] * 4
    answer = post(address, {"input": ids}, EMBEDDINGS)
    assert answer.status_code == 200 and answer.json()["usage"]["prompt_tokens"] == 4

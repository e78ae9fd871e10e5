"""`POST /v1/explain`: guarded like every route, and nobody else's answers change."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from .conftest import EXAMPLES, asks

SIDES = EXAMPLES / "left_right.png"
LEFT = asks("what is on the left?", SIDES)


def explain(address: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return httpx.post(f"{address}/v1/explain", json={"messages": LEFT, **body}, headers=headers, timeout=300)


def test_it_tells_what_the_answer_rests_on(address: str) -> None:
    found = explain(address)
    assert found.status_code == 200, found.text
    told = found.json()
    assert told["answer"] == "a yellow star" and told["question"] == "what is on the left?" and told["model"] == "nano"
    assert told["weights"]["shape"] == [3, 6, 6, len(told["pieces"])] and told["trust"]["matter"] == 1


def test_an_answer_may_be_given_and_nothing_hidden(address: str) -> None:
    told = explain(address, answer="a purple heart", occlusions=0, max_words=2).json()
    assert told["answer"] == "a purple" and told["trust"] is None and told["occlusion"] is None
    assert told["words"][1]["chance"] < 0.5


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"max_words": 0}, "max_words"),
        ({"occlusions": 1000}, "occlusions"),
        ({"answer": ""}, "answer is empty"),
        ({"messages": []}, "messages"),
    ],
)
def test_bad_requests_are_refused_in_words(address: str, body: dict[str, Any], what: str) -> None:
    found = explain(address, **body)
    assert found.status_code == 400 and what in found.json()["error"]["message"]


def test_it_needs_the_key_and_keeps_its_bounds(serving: Callable[..., Any]) -> None:
    with serving(api_keys=("secret",), max_explain_tokens=20) as address:
        assert explain(address).status_code == 401
        found = explain(address, headers={"Authorization": "Bearer secret"})
        assert found.status_code == 400 and "tokens are more than the 20" in found.json()["error"]["message"]
        text = explain(address, headers={"Authorization": "Bearer secret"}, messages=asks("what is 2 plus 3?"))
        assert text.status_code == 200 and text.json()["answer"] == "5"


def test_a_server_may_look_into_nothing(serving: Callable[..., Any]) -> None:
    with serving(max_explain_tokens=0) as address:
        found = explain(address)
        assert found.status_code == 400 and "--max-explain-tokens 0" in found.json()["error"]["message"]


def test_answers_go_on_beside_it_and_too_many_wait_elsewhere(address: str) -> None:
    def chat() -> str:
        body = {"messages": LEFT, "max_tokens": 16}
        return httpx.post(f"{address}/v1/chat/completions", json=body, timeout=300).json()["choices"][0]["message"][
            "content"
        ]

    with ThreadPoolExecutor(12) as pool:
        looks = [pool.submit(explain, address) for _ in range(6)]
        answers = [pool.submit(chat) for _ in range(6)]
        assert {answer.result() for answer in answers} == {"a yellow star"}
        statuses = sorted(look.result().status_code for look in looks)
    assert statuses[0] == 200 and set(statuses) == {200, 429}
    refused = next(look.result() for look in looks if look.result().status_code == 429)
    assert refused.headers["Retry-After"] and "try again" in refused.json()["error"]["message"]
    assert {look.result().json()["answer"] for look in looks if look.result().status_code == 200} == {"a yellow star"}

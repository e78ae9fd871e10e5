"""The checks that an OpenAI-compatible server allows: answers, token counts, log probabilities."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from .checks import Check, Outcome, result
from .conversations import CONVERSATIONS, IMAGES, Conversation
from .golden import CHECKPOINTS, GOLDEN, grouped, read_json
from .types import Array, NotOffered, Tolerance

#: The conversation that is sent again while all others are answered.
REPEATED = "one"


def image_part(file: str) -> dict[str, Any]:
    data = base64.b64encode((IMAGES / file).read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


class Server:
    """A server that answers with one checkpoint.

    Args:
        address: Its base, with or without `/v1`.
        model: The name that it serves; by default the first of `/v1/models`.
    """

    def __init__(
        self, address: str, model: str | None = None, api_key: str | None = None, timeout: float = 120
    ) -> None:
        self.address = address.rstrip("/").removesuffix("/v1") + "/v1"
        self.headers = {"Content-Type": "application/json"}
        if api_key:
            self.headers["Authorization"] = f"Bearer {api_key}"
        self.timeout = timeout
        self.model = model or self._get("models")["data"][0]["id"]
        self._replies: dict[str, dict[str, Any]] = {}

    def _get(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/{path}", data, self.headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{error.code}: {error.read(300).decode(errors='replace')}") from error

    def complete(self, conversation: Conversation, count: int) -> dict[str, Any]:
        """A greedy reply of `count` tokens; log probabilities where the server takes the request with them."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": conversation.messages(image_part),
            "max_tokens": count,
            "temperature": 0,
        }
        try:
            return self._get("chat/completions", {**body, "logprobs": True})
        except RuntimeError as error:
            if "logprob" not in str(error):
                raise
            return self._get("chat/completions", body)

    def reply(self, conversation: Conversation, count: int) -> dict[str, Any]:
        """`complete`, once for each conversation."""
        if conversation.name not in self._replies:
            self._replies[conversation.name] = self.complete(conversation, count)
        return self._replies[conversation.name]


def answer(reply: dict[str, Any]) -> str:
    return reply["choices"][0]["message"]["content"] or ""


def compare_text(found: str, expected: str, pieces: list[str], margins: Array, tolerance: Tolerance) -> Outcome:
    """Equal but for spaces around, or equal up to a token whose choice rounding may turn. pieces: each token's text."""
    if found.strip() == expected.strip():
        return result(True, "text equal")
    tokens = [number for number, piece in enumerate(pieces) for _ in piece]
    whole = "".join(pieces)
    common = next((i for i, pair in enumerate(zip(found, whole, strict=False)) if pair[0] != pair[1]), None)
    if common is not None and margins[tokens[common]] <= tolerance.margin:
        return result(True, f"equal up to a near tie at token {tokens[common]}")
    return result(False, f"{found!r} instead of {expected!r}")


def url_checks(checkpoint: str) -> Iterator[Check]:
    """For a `Server` that answers with this checkpoint."""
    folder, values = CHECKPOINTS / checkpoint, grouped(GOLDEN / f"{checkpoint}.safetensors")
    described = {item["name"]: item for item in read_json(GOLDEN / f"{checkpoint}.json")["cases"]}
    for item in CONVERSATIONS:
        case, text = values[item.name], described[item.name]
        for name, run in (("answer", _answer), ("prompt-tokens", _count), ("logprobs", _logprobs)):
            yield Check(f"{checkpoint}/{item.name}/{name}", folder, "reference", partial(run, item, case, text))
    together = partial(_together, values, described)
    yield Check(f"{checkpoint}/batch/answers", folder, "reference", together)
    again = next(item for item in CONVERSATIONS if item.name == REPEATED)
    run = partial(_again, again, values[REPEATED], described[REPEATED])
    yield Check(f"{checkpoint}/prefix/answer", folder, "reference", run)


def _text(reply: dict[str, Any], case: dict[str, Array], text: dict[str, Any], tolerance: Tolerance) -> Outcome:
    return compare_text(answer(reply), text["answer"], text["pieces"], case["margins"], tolerance)


def _answer(
    conversation: Conversation, case: dict[str, Array], text: dict[str, Any], server: Server, tolerance: Tolerance
) -> Outcome:
    return _text(server.reply(conversation, len(case["new_tokens"])), case, text, tolerance)


def _again(
    conversation: Conversation, case: dict[str, Array], text: dict[str, Any], server: Server, tolerance: Tolerance
) -> Outcome:
    """Sent again: with a prefix cache, most of the prompt comes out of it."""
    return _text(server.complete(conversation, len(case["new_tokens"])), case, text, tolerance)


def _count(
    conversation: Conversation, case: dict[str, Array], text: dict[str, Any], server: Server, tolerance: Tolerance
) -> Outcome:
    usage = server.reply(conversation, len(case["new_tokens"])).get("usage")
    if not usage:
        raise NotOffered("the server returns no usage")
    found, expected = usage["prompt_tokens"], len(case["input_ids"])
    return result(found == expected, f"{found} tokens" + ("" if found == expected else f" instead of {expected}"))


def _logprobs(
    conversation: Conversation, case: dict[str, Array], text: dict[str, Any], server: Server, tolerance: Tolerance
) -> Outcome:
    """Of the tokens that are equal to the golden ones."""
    content = (server.reply(conversation, len(case["new_tokens"]))["choices"][0].get("logprobs") or {}).get("content")
    if not content:
        raise NotOffered("the server returns no logprobs")
    equal = [step["token"] == piece for step, piece in zip(content, text["pieces"], strict=False)]
    length = equal.index(False) if False in equal else len(equal)
    if not length:
        raise NotOffered("the first token is another one")
    found = np.array([step["logprob"] for step in content[:length]])
    error = float(np.abs(found - case["logprobs"][:length]).max())
    return result(error <= tolerance.logprob, f"error {error:.1e} of {length} tokens")


def _together(
    values: dict[str, dict[str, Array]], described: dict[str, Any], server: Server, tolerance: Tolerance
) -> Outcome:
    """All conversations at once, twice."""
    wanted = [item for _ in range(2) for item in CONVERSATIONS]
    with ThreadPoolExecutor(len(wanted)) as threads:
        count = len(values["text"]["new_tokens"])
        replies = list(threads.map(lambda item: server.complete(item, count), wanted))
    for item, reply in zip(wanted, replies, strict=True):
        outcome = _text(reply, values[item.name], described[item.name], tolerance)
        if outcome.state != "holds":
            return result(False, f"{item.name}: {outcome.detail}")
    return result(True, f"{len(wanted)} answers equal")

"""The soak's clients: each asks again and again, in one of several manners, and says what became of every request."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from soak_requests import JSON, Ask, Bad

#: How requests are made, and how often. Slow ones take their time to send or to read; cut ones go away.
MANNERS: Mapping[str, int] = {
    "whole": 8,
    "stream": 6,
    "slow to send": 1,
    "slow to read": 1,
    "cut while streaming": 2,
    "cut while waiting": 1,
    "cut while sending": 1,
    "bad": 4,
}
PATH = "/v1/chat/completions"
#: Seconds after which a request counts as lost.
LOST = 300.0


@dataclass(frozen=True)
class Outcome:
    """What became of one request. fault: why it is not what it had to be; at, seconds: since the soak's start."""

    manner: str
    kind: str
    at: float
    seconds: float
    first: float | None = None
    tokens: int = 0
    fault: str | None = None


def alone(address: str, asked: Sequence[Ask]) -> list[str]:
    """The answers to questions asked one after another, with nobody else there."""
    with httpx.Client(base_url=address, timeout=LOST) as http:
        return [_text(http.post(PATH, json=ask.body)) for ask in asked]


class Client(threading.Thread):
    """One client; `outcomes` grows until `stop` is set."""

    def __init__(
        self,
        number: int,
        address: str,
        asked: Sequence[tuple[Ask, str]],
        bad: Sequence[Bad],
        begin: float,
        stop: threading.Event,
    ) -> None:
        super().__init__(name=f"soak-client-{number}", daemon=True)
        self.outcomes: list[Outcome] = []
        self._address, self._asked, self._bad, self._begin, self._stop_ = address, asked, bad, begin, stop
        self._random = random.Random(number)
        self._http = httpx.Client(base_url=address, timeout=LOST)

    def run(self) -> None:
        manners, weights = list(MANNERS), list(MANNERS.values())
        with self._http:
            while not self._stop_.is_set():
                self.outcomes.append(self._one(self._random.choices(manners, weights)[0]))

    def _one(self, manner: str) -> Outcome:
        at = time.monotonic()
        what = self._random.choice(self._bad) if manner == "bad" else self._random.choice(self._asked)
        kind = what.kind if isinstance(what, Bad) else what[0].kind
        first, tokens, fault = None, 0, None
        try:
            if isinstance(what, Bad):
                fault = self._refused(what)
            else:
                first, tokens, fault = self._asks(manner, *what)
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            fault = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        return Outcome(manner, kind, at - self._begin, now - at, first and first - at, tokens, fault)

    def _refused(self, bad: Bad) -> str | None:
        answer = self._http.post(bad.path, content=bad.content, headers=JSON)
        if answer.status_code == bad.status and answer.json()["error"]["message"]:
            return None
        return f"{answer.status_code} in place of {bad.status}: {answer.text[:200]}"

    def _asks(self, manner: str, ask: Ask, expected: str) -> tuple[float | None, int, str | None]:
        """(moment of the first words, tokens of the answer, fault)."""
        match manner:
            case "whole" | "slow to send":
                content = json.dumps(ask.body).encode()
                sent: Any = content if manner == "whole" else _trickled(content, self._random.uniform(0.2, 1.5))
                answer = self._http.post(PATH, content=sent, headers=JSON)
                return None, _usage(answer), _differs(_text(answer), expected)
            case "stream" | "slow to read":
                pause = self._random.uniform(0.02, 0.1) if manner == "slow to read" else 0.0
                return self._stream(ask, expected, pause)
            case "cut while streaming":
                return self._cut(ask, self._random.randint(1, 8))
            case "cut while waiting":
                with contextlib.suppress(httpx.TimeoutException):  # as meant; an answer that was quicker is as good
                    self._http.post(PATH, json=ask.body, timeout=self._random.uniform(0.01, 0.3))
                return None, 0, None
        self._half_sent(ask)
        return None, 0, None

    def _stream(self, ask: Ask, expected: str, pause: float) -> tuple[float | None, int, str | None]:
        text, first, tokens = "", None, 0
        for event in self._events(ask):
            for choice in event["choices"]:
                if piece := choice["delta"].get("content"):
                    first = first or time.monotonic()
                    text += piece
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            time.sleep(pause)
        return first, tokens, _differs(text, expected)

    def _cut(self, ask: Ask, pieces: int) -> tuple[float | None, int, str | None]:
        for number, _ in enumerate(self._events(ask)):
            if number == pieces:
                break  # leaving the stream closes its connection
        return None, 0, None

    def _events(self, ask: Ask) -> Iterator[dict[str, Any]]:
        body = ask.body | {"stream": True, "stream_options": {"include_usage": True}}
        with self._http.stream("POST", PATH, json=body) as answer:
            if answer.status_code != 200:
                raise ValueError(f"{answer.status_code}: {answer.read().decode()[:200]}")
            for line in answer.iter_lines():
                if line == "data: [DONE]":
                    return
                if line:
                    event = json.loads(line.removeprefix("data: "))
                    if "error" in event:
                        raise ValueError(f"error in a stream: {event['error']}")
                    yield event
        raise ValueError("a stream without its end")

    def _half_sent(self, ask: Ask) -> None:
        """Promise a body, send half of it, and go."""
        body = json.dumps(ask.body).encode()
        where = urlsplit(self._address)
        head = f"POST {PATH} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection((where.hostname or "", where.port or 80), timeout=LOST) as line:
            line.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body[: len(body) // 2])
            time.sleep(self._random.uniform(0, 0.2))


def _trickled(content: bytes, seconds: float) -> Iterator[bytes]:
    pieces = 8
    size = len(content) // pieces + 1
    for at in range(0, len(content), size):
        time.sleep(seconds / pieces)
        yield content[at : at + size]


def _text(answer: httpx.Response) -> str:
    if answer.status_code != 200:
        raise ValueError(f"{answer.status_code}: {answer.text[:200]}")
    return answer.json()["choices"][0]["message"]["content"]


def _usage(answer: httpx.Response) -> int:
    return answer.json()["usage"]["completion_tokens"]


def _differs(text: str, expected: str) -> str | None:
    return None if text == expected else f"answered {text[:120]!r}, but alone {expected[:120]!r}"


def run(
    make: Callable[[int, float, threading.Event], Client], clients: int, seconds: float, watch: Callable[[], None]
) -> list[Client]:
    """Let clients ask for so long, watch every second, and wait for what is still to be answered."""
    begin, stop = time.monotonic(), threading.Event()
    running = [make(number, begin, stop) for number in range(clients)]
    for item in running:
        item.start()
    while time.monotonic() - begin < seconds:
        time.sleep(min(1.0, seconds / 10))
        watch()
    stop.set()
    for item in running:
        item.join(2 * LOST)
    return running

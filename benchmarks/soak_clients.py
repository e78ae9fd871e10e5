"""The soak's clients: each asks again and again, in one of several manners, and says what became of every request."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from soak_answers import CHAT, RESPONSES, STREAMED, Answer, Stream, differs, whole
from soak_forms import broken
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
#: Seconds after which a request counts as lost.
LOST = 300.0
#: The least difference of two tokens' log probabilities that rounding cannot turn round.
MARGIN = 1e-3
#: Seconds after which a request is asked again.
RETRY = 0.2
#: Errors of a request whose worker was killed: it is asked again.
_KILLED = re.compile("of this request (could not be read|took too long)|still starting")


@dataclass(frozen=True)
class Outcome:
    """What became of one request. fault: why it is not what it had to be; at, seconds: since the soak's start.

    again: how often it was asked again, since a worker had been killed.
    """

    manner: str
    kind: str
    at: float
    seconds: float
    first: float | None = None
    tokens: int = 0
    fault: str | None = None
    again: int = 0


class WorkerKilled(Exception):
    """The server says that a worker ended while it read the request's media."""


class Gone(Exception):
    """The client went away, as meant."""


def decided(address: str, choices: Sequence[Sequence[Ask]]) -> list[Ask]:
    """Of each of several questions the first whose answer hangs on no rounding, else the last.

    Sums of other shapes round in other ways: where two tokens are as likely, company may change which is chosen.
    """
    with httpx.Client(base_url=address, timeout=LOST) as http:
        return [next((ask for ask in some if _is_decided(http, ask)), some[-1]) for some in choices]


def _is_decided(http: httpx.Client, ask: Ask) -> bool:
    if ask.chat is None:
        return True
    answer = http.post(CHAT, json=ask.chat | {"logprobs": True, "top_logprobs": 2})
    answer.raise_for_status()
    likely = [token["top_logprobs"] for token in answer.json()["choices"][0]["logprobs"]["content"]]
    return all(len(top) < 2 or abs(top[0]["logprob"] - top[1]["logprob"]) > MARGIN for top in likely)


def alone(address: str, asked: Sequence[Ask]) -> list[list[Answer]]:
    """The answers to questions asked one after another, with nobody else there. Raises SystemExit: a form is broken."""
    with httpx.Client(base_url=address, timeout=LOST) as http:
        found = [exchange(ask, lambda body, path=ask.path: _read(path, http.post(path, json=body))) for ask in asked]
    for ask, answers in zip(asked, found, strict=True):
        if (why := broken(ask.form, answers[0])) is not None:
            raise SystemExit(f"alone, a {ask.kind} on {ask.path} {why}")
    return found


def exchange(ask: Ask, send: Callable[[dict[str, Any]], Answer]) -> list[Answer]:
    """The answer to a question, and that to its continuation."""
    answers = [send(ask.body)]
    if ask.then is not None:
        answers.append(send(ask.then | {"previous_response_id": answers[0].id}))
    return answers


class Client(threading.Thread):
    """One client; `outcomes` grows until `stop` is set."""

    def __init__(
        self,
        number: int,
        address: str,
        asked: Sequence[tuple[Ask, list[Answer]]],
        bad: Sequence[Bad],
        begin: float,
        stop: threading.Event,
    ) -> None:
        super().__init__(name=f"soak-client-{number}", daemon=True)
        self.outcomes: list[Outcome] = []
        self._address, self._asked, self._bad, self._begin, self._stop_ = address, asked, bad, begin, stop
        self._random = random.Random(number)
        self._http = httpx.Client(base_url=address, timeout=LOST)
        self._first: float | None = None  # when the first part of the present answer came

    def run(self) -> None:
        manners, weights = list(MANNERS), list(MANNERS.values())
        with self._http:
            while not self._stop_.is_set():
                self.outcomes.append(self._one(self._random.choices(manners, weights)[0]))

    def _one(self, manner: str) -> Outcome:
        at = time.monotonic()
        what = self._random.choice(self._bad) if manner == "bad" else self._random.choice(self._asked)
        kind = what.kind if isinstance(what, Bad) else what[0].kind
        again, tokens, fault = 0, 0, None
        while True:
            self._first = None
            try:
                if isinstance(what, Bad):
                    fault = self._refused(what)
                else:
                    tokens, fault = self._asks(manner, *what)
            except WorkerKilled:
                again += 1
                time.sleep(RETRY)
                continue
            except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
                fault = f"{type(error).__name__}: {error}"
            now, first = time.monotonic(), self._first
            return Outcome(manner, kind, at - self._begin, now - at, first and first - at, tokens, fault, again)

    def _refused(self, bad: Bad) -> str | None:
        answer = self._http.post(bad.path, content=bad.content, headers=JSON)
        if _was_killed(answer):
            raise WorkerKilled
        if answer.status_code == bad.status and answer.json()["error"]["message"]:
            return None
        return f"{answer.status_code} in place of {bad.status}: {answer.text[:200]}"

    def _asks(self, manner: str, ask: Ask, expected: list[Answer]) -> tuple[int, str | None]:
        """(tokens of the answers, fault)."""
        # of a conversation, either request may be the one that is cut
        whole_ones = self._random.randint(0, 1) if ask.then is not None and manner.startswith("cut") else 0
        manners = iter([*["whole"] * whole_ones, *[manner] * 2])
        try:
            answers = exchange(ask, lambda body: self._sent(next(manners), ask.path, body))
        except Gone:
            return 0, None
        faults = [broken(ask.form, answers[0]), *map(differs, answers, expected)]
        if ask.then is not None and self._random.random() < 0.5:
            deleted = self._http.delete(f"{RESPONSES}/{answers[0].id}").status_code
            faults.append(None if deleted == 200 else f"{deleted} for a response to delete")
        return sum(answer.tokens for answer in answers), next(filter(None, faults), None)

    def _sent(self, manner: str, path: str, body: dict[str, Any]) -> Answer:
        """The answer to a request that is made in a manner. Raises Gone: the manner was to go away."""
        content = json.dumps(body).encode()
        match manner:
            case "stream" | "slow to read" if path in STREAMED:
                pause = self._random.uniform(0.02, 0.1) if manner == "slow to read" else 0.0
                return self._stream(path, body, pause)
            case "cut while streaming" if path in STREAMED:
                self._stream(path, body, 0.0, self._random.randint(1, 8))
                raise Gone
            case "cut while waiting" | "cut while streaming":
                with contextlib.suppress(httpx.TimeoutException):  # as meant; an answer that was quicker is as good
                    self._http.post(path, content=content, headers=JSON, timeout=self._random.uniform(0.01, 0.3))
                raise Gone
            case "cut while sending":
                self._half_sent(path, content)
                raise Gone
        sent: Any = _trickled(content, self._random.uniform(0.2, 1.5)) if manner == "slow to send" else content
        return _read(path, self._http.post(path, content=sent, headers=JSON))

    def _stream(self, path: str, body: dict[str, Any], pause: float, most: int | None = None) -> Answer:
        """An answer that is streamed; after `most` events the client leaves, which closes its connection."""
        reading = Stream(path)
        with self._http.stream("POST", path, json=body | STREAMED[path]) as answer:
            if answer.status_code != 200:
                answer.read()
                _read(path, answer)
            events = (line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: "))
            for number, event in enumerate(events):
                if reading.add(event) and self._first is None:
                    self._first = time.monotonic()
                if number == most:
                    return reading.answer()
                time.sleep(pause)
        if not reading.ended:
            raise ValueError("a stream without its end")
        return reading.answer()

    def _half_sent(self, path: str, body: bytes) -> None:
        """Promise a body, send half of it, and go."""
        where = urlsplit(self._address)
        head = f"POST {path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection((where.hostname or "", where.port or 80), timeout=LOST) as line:
            line.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body[: len(body) // 2])
            time.sleep(self._random.uniform(0, 0.2))


def _trickled(content: bytes, seconds: float) -> Iterator[bytes]:
    pieces = 8
    size = len(content) // pieces + 1
    for at in range(0, len(content), size):
        time.sleep(seconds / pieces)
        yield content[at : at + size]


def _read(path: str, answer: httpx.Response) -> Answer:
    """Raises WorkerKilled, or ValueError: it is another error."""
    if _was_killed(answer):
        raise WorkerKilled
    if answer.status_code != 200:
        raise ValueError(f"{answer.status_code}: {answer.text[:200]}")
    return whole(path, answer.json())


def _was_killed(answer: httpx.Response) -> bool:
    return answer.status_code in (422, 503) and _KILLED.search(answer.text) is not None


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

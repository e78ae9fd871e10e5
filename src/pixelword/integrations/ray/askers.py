"""Backends that answer a job's rows: an in-process model, or OpenAI-compatible servers (ours, or vLLM's)."""

from __future__ import annotations

import base64
import itertools
import mimetypes
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pixelword.batch.rows import Row
from pixelword.errors import InputError, PixelwordError
from pixelword.processing.limits import Limits
from pixelword.processing.media_io import read_bytes

if TYPE_CHECKING:
    import httpx

Answer = dict[str, Any]
#: Answers of a server that say: not now. 500 may be the row's own doing, so it is tried a few times and no longer.
_LATER, _TRIES_OF_500 = frozenset({408, 429, 500, 502, 503, 504}), 3
#: Answers that say the job is wrong, not the row.
_WRONG_JOB = frozenset({401, 403, 404, 405})


class Asker(Protocol):
    """Answer rows, each with `{"answer": …}` or `{"error": why}`."""

    def __call__(self, rows: Sequence[Row]) -> list[Answer]: ...


@dataclass(frozen=True)
class Asking:
    """Settings of a job's backend.

    model: a packaged model or a checkpoint's folder; with servers, its name there.
    servers: addresses without `/v1`; none: every replica has the network itself. at_once: rows under way in a replica.
    key: of the servers. patience: seconds that a server may be away before the job fails; it goes on when run again.
    """

    model: str = "nano"
    max_tokens: int = 64
    servers: tuple[str, ...] = ()
    at_once: int = 16
    key: str | None = field(default=None, repr=False)
    patience: float = 300.0

    def open(self) -> Asker:
        """Create the backend, in the process that uses it."""
        return ServerAsker(self) if self.servers else EngineAsker(self)


class EngineAsker:
    """An in-process model; rows run in one continuous batch, with image preprocessing in parallel."""

    def __init__(self, how: Asking) -> None:
        from pixelword.generation.engine import Engine
        from pixelword.generation.request import BatchingOptions
        from pixelword.generation.session import load

        session = load(how.model)
        self._how = how
        self._engine = Engine(session.model, session.processor, BatchingOptions(max_num_seqs=how.at_once))
        # one more than there are places, so that the next prompt is ready when a place is free
        self._threads = ThreadPoolExecutor(how.at_once + 1, thread_name_prefix="pixelword-row")

    def __call__(self, rows: Sequence[Row]) -> list[Answer]:
        return list(self._threads.map(self._one, rows))

    def _one(self, row: Row) -> Answer:
        from pixelword.generation.sampling import Sampling
        from pixelword.generation.session import user_message

        if row.fault:
            return {"error": row.fault}
        try:
            message = user_message(row.question, row.images, row.videos)
            prompt = self._engine.processor.encode([message], add_generation_prompt=True)
            item = self._engine.submit(prompt, Sampling(self._how.max_tokens))
        except PixelwordError as error:
            return {"error": str(error)}
        text = item.result()
        tokens = item.usage.prompt_tokens, item.usage.completion_tokens
        return _answer(text, item.reason or "stop", *tokens)

    def close(self) -> None:
        """Close the engine."""
        self._threads.shutdown(cancel_futures=True)
        self._engine.close()


class ServerAsker:
    """Servers used in turn; an unreachable one is skipped until it is back."""

    def __init__(self, how: Asking) -> None:
        import httpx

        keys = {"Authorization": f"Bearer {how.key}"} if how.key else {}
        self._how = how
        self._servers = [address.rstrip("/").removesuffix("/v1") for address in how.servers]
        # trust_env: a proxy of the environment is not for servers that were named
        limits = httpx.Limits(max_connections=how.at_once)
        self._http = httpx.Client(timeout=httpx.Timeout(600, connect=10), headers=keys, limits=limits, trust_env=False)
        self._threads = ThreadPoolExecutor(how.at_once, thread_name_prefix="pixelword-row")

    def __call__(self, rows: Sequence[Row]) -> list[Answer]:
        return list(self._threads.map(self._one, rows))

    def _one(self, row: Row) -> Answer:
        if row.fault:
            return {"error": row.fault}
        try:
            body = self._body(row)
        except PixelwordError as error:
            return {"error": str(error)}
        end = time.monotonic() + self._how.patience
        failures = 0
        for turn in itertools.count():
            server = self._servers[(row.number + turn) % len(self._servers)]
            answer, why = self._post(server, body)
            if answer is not None and answer.status_code not in _LATER:
                return self._told(server, answer)
            failures += answer is not None and answer.status_code == 500
            if answer is not None and failures >= _TRIES_OF_500:
                return {"error": why}
            if time.monotonic() > end:
                raise InputError(
                    f"no server has answered for {self._how.patience:g} s ({why}); run the job again later"
                )
            if (turn + 1) % len(self._servers) == 0:  # all were tried
                time.sleep(_pause(answer, turn // len(self._servers)))
        raise AssertionError("unreachable")

    def _post(self, server: str, body: dict[str, Any]) -> tuple[httpx.Response | None, str]:
        """Return the answer, or None if the server is unreachable; and the server's problem, if any."""
        import httpx

        try:
            answer = self._http.post(f"{server}/v1/chat/completions", json=body)
        except httpx.TransportError as error:
            return None, f"{server}: {type(error).__name__}"
        return answer, "" if answer.status_code == 200 else f"{server}: {answer.status_code} {_said(answer)}"

    def _told(self, server: str, answer: httpx.Response) -> Answer:
        if answer.status_code in _WRONG_JOB:
            raise InputError(f"{server} will not answer this job: {answer.status_code} {_said(answer)}")
        if answer.status_code != 200:
            return {"error": _said(answer)}
        data = answer.json()
        (choice,), usage = data["choices"], data["usage"]
        text, reason = choice["message"]["content"], choice["finish_reason"]
        return _answer(text or "", reason, usage["prompt_tokens"], usage["completion_tokens"])

    def _body(self, row: Row) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        for kind, sources in (("image", row.images), ("video", row.videos)):
            for source in sources:
                parts.append({"type": f"{kind}_url", f"{kind}_url": {"url": _data_url(source, kind)}})
        content = [*parts, {"type": "text", "text": row.question}]
        how = {"model": self._how.model, "max_tokens": self._how.max_tokens, "temperature": 0}
        return {**how, "messages": [{"role": "user", "content": content}]}

    def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown(cancel_futures=True)
        self._http.close()


def _answer(text: str, reason: str, asked: int, said: int) -> Answer:
    return {"answer": text.strip(), "finish_reason": reason, "prompt_tokens": asked, "completion_tokens": said}


def _data_url(source: str, kind: str) -> str:
    """Inline media for servers, which cannot open our files. Raises MediaError."""
    if source.startswith("data:"):
        return source
    data = read_bytes(source, kind="image" if kind == "image" else "video", limits=Limits())
    guessed = mimetypes.guess_type(source)[0] or ("image/png" if kind == "image" else "video/mp4")
    return f"data:{guessed};base64,{base64.b64encode(data).decode()}"


def _said(answer: httpx.Response) -> str:
    """Return a server's error message."""
    try:
        return str(answer.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _pause(answer: httpx.Response | None, rounds: int) -> float:
    """Return seconds until the next retry: the server's Retry-After, or exponential backoff."""
    retry_after = "" if answer is None else answer.headers.get("Retry-After", "")
    return min(float(retry_after), 60.0) if retry_after.isdigit() else min(0.5 * 2**rounds, 30.0)

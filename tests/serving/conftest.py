"""A real server on a free port of this machine, with nano behind it."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='the server needs pip install "pixelword[serve]"')
pytest.importorskip("uvicorn", reason='the server needs pip install "pixelword[serve]"')

import uvicorn

from pixelword.checkpoints.names import resolve
from pixelword.generation.engine import Engine
from pixelword.generation.session import Session, load
from pixelword.serving.app import create_app
from pixelword.serving.settings import Settings
from pixelword.serving.workers import Workers

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def session() -> Session:
    return load("nano", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def engine(session: Session) -> Iterator[Engine]:
    with Engine(session.model, session.processor) as running:
        yield running


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    with Workers(resolve("nano"), Settings()) as running:
        yield running


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """The address of a server that runs `app`."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(1000):
        if server.started:
            break
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def serving(engine: Engine, workers: Workers) -> Callable[..., Any]:
    """serving(max_waiting=1, …) as a context: the address of a server with these settings."""

    def start(**settings: Any) -> Any:
        return listening(create_app(engine, workers, replace(Settings(), **settings)))

    return start


@pytest.fixture(scope="module")
def address(serving: Callable[..., Any]) -> Iterator[str]:
    with serving() as found:
        yield found


def data_url(path: Path) -> str:
    kind = {"png": "image/png", "mp4": "video/mp4"}[path.suffix[1:]]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def asks(text: str, *pictures: Path, video: Path | None = None) -> list[dict[str, Any]]:
    """One user message in OpenAI's form."""
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": data_url(picture)}} for picture in pictures
    ]
    parts += [{"type": "video_url", "video_url": {"url": data_url(video)}}] if video else []
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]

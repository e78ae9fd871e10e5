"""A server that is told to stop does so at once when nothing runs, whoever is connected to it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
#: What a client has sent when the signal comes.
CLIENTS: dict[str, bytes] = {
    "nothing": b"",
    "half a line": b"POST /v1/ch",
    "half of the headers": HEAD,
    "no body yet": HEAD + b"Content-Length: 1000\r\n\r\n",
    "half of the body": HEAD + b'Content-Length: 1000\r\n\r\n{"messages": [{"role": "us',
    "one chunk of the body": HEAD + b'Transfer-Encoding: chunked\r\n\r\nd\r\n{"messages": [\r\n',
}
SECONDS = 2.0


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_server_ends_at_once_whatever_its_clients_have_sent(
    tiny_model_dir: Path, tmp_path: Path, signal_: signal.Signals
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ("serve", str(tiny_model_dir), "--port", str(port), "--dtype", "float32")
    log = tmp_path / "log"
    with (
        log.open("w") as out,
        subprocess.Popen([sys.executable, "-m", "pixelword", *serve], stdout=out, stderr=out) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        wait_for(lambda: answers(client), server, log)
        asked = {"messages": [{"role": "user", "content": "what is it?"}], "max_tokens": 4}
        assert client.post("/v1/chat/completions", json=asked, timeout=60).status_code == 200  # it keeps its connection
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in CLIENTS]
        for connection, sent in zip(connections, CLIENTS.values(), strict=True):
            connection.sendall(sent)
        assert client.get("/health").status_code == 200  # so that it has read what came before
        started = time.monotonic()
        server.send_signal(signal_)
        code = server.wait(60)
        seconds = time.monotonic() - started
        for connection in connections:
            connection.close()
    assert code == -signal_ and "Traceback" not in log.read_text(), log.read_text()
    assert seconds < SECONDS + start_of_python(), log.read_text()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert server.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def start_of_python() -> float:
    """Seconds that an empty program takes here: how busy or slow this machine is."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.monotonic() - started

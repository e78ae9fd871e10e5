"""A server that is told to stop does so at once when nothing runs, whoever is connected to it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx


def test_an_idle_server_ends_at_once(tiny_model_dir: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "pixelword",
        "serve",
        str(tiny_model_dir),
        "--port",
        str(port),
        "--dtype",
        "float32",
    ]
    log = tmp_path / "log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as server, httpx.Client() as client:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 240
        while True:
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            try:
                if client.get(f"{address}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        asked = {"messages": [{"role": "user", "content": "what is it?"}], "max_tokens": 4}
        assert client.post(f"{address}/v1/chat/completions", json=asked, timeout=60).status_code == 200
        opened = socket.create_connection(("127.0.0.1", port))  # and the client's own, which it keeps
        started = time.monotonic()
        server.send_signal(signal.SIGINT)
        code = server.wait(60)
        assert time.monotonic() - started < 5.0  # two on a machine that does nothing else
        opened.close()
    assert code == -signal.SIGINT and "Traceback" not in log.read_text(), log.read_text()

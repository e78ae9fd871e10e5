"""The reverse proxy of docs/serving.md, for real: nginx with TLS before two servers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from .conftest import EXAMPLES, asks

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
pytestmark = pytest.mark.skipif(
    not (NGINX and shutil.which("openssl")), reason="needs nginx and openssl (apt-get install nginx-light openssl)"
)
PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
ASK = {"model": "nano", "messages": asks("what colour is the circle?", EXAMPLES / "red_circle.png"), "max_tokens": 16}
ENDLESS = {"model": "nano", "messages": ASK["messages"], "max_tokens": 1500, "ignore_eos": True, "stream": True}


def configured(folder: Path, port: int, servers: list[str]) -> Path:
    """The page's configuration with a port, servers and a certificate that there are."""
    signed = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    places = ["-keyout", str(folder / "key"), "-out", str(folder / "pem")]
    subprocess.run([*signed.split(), *places], check=True, capture_output=True)
    (text,) = re.findall(r"^```nginx\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for number, address in enumerate(servers):
        text = text.replace(f"127.0.0.1:800{number}", address.removeprefix("http://"))
    text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
    for name in ("pem", "key"):
        text = re.sub(rf"\S+/pixelword\.{name}", str(folder / name), text)
    temporary = "".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/errors; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{text}}}\n"
    )
    return path


@contextmanager
def proxied(folder: Path, servers: list[str]) -> Iterator[httpx.Client]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([str(NGINX), "-c", str(configured(folder, port, servers)), "-e", f"{folder}/errors"])
    try:
        trusted = ssl.create_default_context(cafile=folder / "pem")
        with httpx.Client(base_url=f"https://localhost:{port}", verify=trusted, timeout=300, trust_env=False) as http:
            until(lambda: listens(port))
            yield http
    finally:
        process.terminate()
        process.wait(20)


def listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def until(true, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def said(http: httpx.Client) -> str:
    answer = http.post("/v1/chat/completions", json=ASK)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


def test_nginx_streams_cuts_and_takes_the_other_server(serving, engine, tmp_path) -> None:
    keys = {"Authorization": "Bearer secret"}
    with serving(api_keys=("secret",)) as first:
        with serving(api_keys=("secret",)) as second, proxied(tmp_path, [first, second]) as http:
            assert http.post("/v1/chat/completions", json=ASK).status_code == 401
            assert http.get("/health").status_code == 200
            http.headers.update(keys)
            assert said(http) == "red"
            with http.stream("POST", "/v1/chat/completions", json=ENDLESS) as stream:
                events = (line for line in stream.iter_lines() if line.startswith("data: "))
                assert "content" in next(events) and "content" in next(events)  # the role, then the first words
                assert engine.load == (1, 0)  # and the rest is still being said
            until(lambda: engine.load == (0, 0))  # who leaves the proxy leaves the server
        with proxied(tmp_path, [first, second]) as http:  # the second has gone
            http.headers.update(keys)
            assert [said(http) for _ in range(4)] == ["red"] * 4

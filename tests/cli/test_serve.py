"""`pixelword serve` from start to end, as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from typer.testing import CliRunner

from pixelword.cli import app

PICTURE = Path(__file__).parents[2] / "examples" / "red_circle.png"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pixelword", "serve", "nano", "--port", str(port)]
    command += ["--allowed-local-media-path", str(PICTURE.parent), "--served-model-name", "mine"]
    command += ["--max-explain-tokens", "20"]
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        command, stdout=log, stderr=log, text=True, env=os.environ | {"PIXELWORD_API_KEY": "a-secret"}
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail((tmp_path / "log").read_text())
        try:
            if httpx.get(f"{address}/health").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.1)
    yield address, process
    process.kill()
    log_text = (tmp_path / "log").read_text()
    assert "a-secret" not in log_text
    assert "mine computes in " in log_text


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_and_finishes_what_runs_when_told_to_stop(server, way) -> None:
    address, process = server
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="a-secret", max_retries=0)
    parts = [
        {"type": "image_url", "image_url": {"url": PICTURE.as_uri()}},
        {"type": "text", "text": "what colour is it?"},
    ]
    messages = [{"role": "user", "content": parts}]
    with pytest.raises(openai.BadRequestError, match="more than the 20 that can be explained"):
        client.post("/explain", cast_to=object, body={"messages": messages})
    stream = client.chat.completions.create(
        model="mine", messages=messages, stream=True, max_tokens=48,
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    next(iter(stream))
    process.send_signal(way)
    *_, last = stream
    assert last.choices[0].finish_reason == "length"
    process.wait(60)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/health")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--limit-mm-per-prompt", "4"], "limit-mm-per-prompt"),
        (["--limit-mm-per-prompt", '{"sound": 1}'], "sound"),
        (["--allowed-local-media-path", "/nowhere"], "/nowhere"),
        (["--api-key", ""], "empty key"),
        (["--max-explain-tokens", "-1"], "max-explain-tokens"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_loaded(arguments, words) -> None:
    result = CliRunner().invoke(app, ["serve", "nano", *arguments])
    assert result.exit_code == 2 and words in result.output

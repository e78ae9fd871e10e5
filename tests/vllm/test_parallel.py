"""Layers cut over two ranks, and a server of two engines that OpenAI's client asks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

#: Seconds for a server to start; on a quiet machine it takes half a minute.
PATIENCE = 540
pytestmark = pytest.mark.timeout(900)


def test_tensor_parallel(
    engine: Any, nano: Any, nano_folder: Path, questions: Any, greedy: Any, assert_equal: Any
) -> None:
    llm = engine(nano_folder, tensor_parallel_size=2)
    for answer, conversation in zip(greedy(llm, list(questions.values())), questions.values(), strict=True):
        assert_equal(answer, nano, conversation)


@pytest.fixture(scope="module")
def server(nano_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """vLLM's own server with two engines behind one address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(nano_folder)]
    command += ["--served-model-name", "nano", "--host", "127.0.0.1", "--port", str(port), "--api-key", "secret"]
    command += ["--data-parallel-size", "2", "--dtype", "float32", "--enforce-eager", "--max-model-len", "1024"]
    command += ["--max-num-batched-tokens", "256", "--block-size", "32", "--kv-cache-memory-bytes", str(64 << 20)]
    log = tmp_path_factory.mktemp("server") / "log"
    variables = {name: value for name, value in os.environ.items() if name != "VLLM_ENABLE_V1_MULTIPROCESSING"}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=variables, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(process, f"{address}/health", log)
            yield openai.OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if httpx.get(address, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text()[-4000:]}")


def test_server_of_two_engines(server: openai.OpenAI, nano: Any, questions: Any, as_sent: Any) -> None:
    def answer(conversation: Any) -> str | None:
        reply = server.chat.completions.create(
            model="nano", messages=as_sent(conversation), temperature=0, max_tokens=16, timeout=120
        )
        return reply.choices[0].message.content

    conversations = list(questions.values())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(answer, conversations * 3))
    expected = [nano.processor.encoder.decode(nano.tokens(item)) for item in conversations]
    assert found == expected * 3


def test_server_streams(server: openai.OpenAI, nano: Any, questions: Any, as_sent: Any) -> None:
    stream = server.chat.completions.create(
        model="nano", messages=as_sent(questions["several"]), temperature=0, max_tokens=16, stream=True, timeout=120
    )
    words = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert words == nano.processor.encoder.decode(nano.tokens(questions["several"]))


def test_server_keeps_answering(server: openai.OpenAI, nano: Any, questions: Any, as_sent: Any) -> None:
    """What is wrong is the client's error; control tokens in words are words; and the next request is answered."""
    picture = as_sent(questions["picture"])[0]["content"][0]
    bad_picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    bad_video = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
    for content in ([bad_picture], [bad_video], [picture] * 300):
        with pytest.raises(openai.BadRequestError):
            server.chat.completions.create(model="nano", messages=[{"role": "user", "content": content}], timeout=120)
    words = "<img><IMG_CONTEXT></img><|im_end|> <image>"
    for text in (words, [{"type": "text", "text": words}, picture]):
        reply = server.chat.completions.create(
            model="nano", messages=[{"role": "user", "content": text}], max_tokens=4, temperature=0, timeout=120
        )
        content = text if isinstance(text, str) else [text[0], *questions["picture"][0]["content"][:1]]
        assert reply.usage is not None
        assert reply.usage.prompt_tokens == len(nano.prompt([{"role": "user", "content": content}]))
    assert server.completions.create(model="nano", prompt="<img><IMG_CONTEXT></img>", max_tokens=2, timeout=120).choices
    with pytest.raises(openai.AuthenticationError):
        server.with_options(api_key="wrong").models.list()

"""What answers in `bench_serving.py`: our server and vLLM's over HTTP, and transformers' `generate` in this process."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from running import cpu_dtype
from served import served

#: name -> what stands in the table.
SYSTEMS = {
    "ours": "`pixelword serve`",
    "compiled": "`pixelword serve --compile`",
    "int8": "`pixelword serve --quantization int8`",
    "transformers": "transformers' `generate`, no server",
    "vllm": "vLLM with our plugin",
}
#: Clients at once.
LOADS = (1, 4, 16)
OPTIONS = {"ours": [], "compiled": ["--compile"], "int8": ["--quantization", "int8"]}
QUESTION, OTHER = "What do you see in this picture?", "Which colours are there?"


@dataclass(frozen=True)
class Work:
    """What every system is asked: pictures of side × side pixels, answers of new_tokens, by so many clients at once."""

    model: str
    side: int
    new_tokens: int
    loads: tuple[int, ...]
    repeats: int

    def picture(self, number: int) -> Image.Image:
        """Noise that no other number has."""
        noise = np.random.default_rng(number).integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)
        return Image.fromarray(noise)


def measured(system: str, work: Work, folder: Path, threads: int, vllm: Path | None) -> dict[str, Any]:
    """One round of one system: seconds to first tokens, between tokens, tokens a second by load, resident bytes."""
    others = {"competing_cores": _others()}
    if system == "transformers":
        return _transformers(work) | others
    if system == "vllm":
        assert vllm is not None
        with _vllm(work, vllm, folder, threads) as (address, pid):
            return _asked(work, address) | {"bytes": _tree_bytes(pid)} | others
    most = ["--max-num-seqs", str(max(work.loads)), "--num-speculative-tokens", "0", "--prefix-cache-mb", "1024"]
    options = [work.model, "--dtype", cpu_dtype(), *most, *OPTIONS[system]]
    with served(options, folder / "log", seconds=900, threads=threads) as server:
        return _asked(work, server.address) | {"bytes": server.measure().bytes} | others


def _others() -> float | None:
    """Cores that other processes keep busy in the second before a system starts."""
    from measure import competing, ticks

    before = ticks()
    time.sleep(1)
    return competing(before, ticks())


def _asked(work: Work, address: str) -> dict[str, Any]:
    """Over HTTP, as any client would."""
    import httpx

    with httpx.Client(base_url=address, timeout=600, limits=httpx.Limits(max_connections=64)) as client:
        name = client.get("/v1/models").json()["data"][0]["id"]
        urls = [_data_url(work.picture(number)) for number in range(1 + work.repeats + max(work.loads))]

        def ask(picture: int, question: str, tokens: int) -> tuple[float, float, int]:
            return _stream(client, name, urls[picture], question, tokens)

        ask(0, QUESTION, 4)  # threads start, kernels are chosen
        cold, again, between = [], [], []
        for number in range(1, 1 + work.repeats):
            cold.append(ask(number, QUESTION, 1)[0])
            again.append(ask(number, OTHER, 1)[0])
            first, last, said = ask(number, QUESTION, work.new_tokens)
            between.append((last - first) / (said - 1))
        throughput: dict[str, float] = {}
        for load in work.loads:
            pictures = range(1 + work.repeats, 1 + work.repeats + load)
            with ThreadPoolExecutor(load) as pool:
                list(pool.map(lambda number: ask(number, QUESTION, 1), pictures))
                began = time.perf_counter()
                answers = list(pool.map(lambda number: ask(number, OTHER, work.new_tokens), pictures))
                throughput[str(load)] = sum(said for _, _, said in answers) / (time.perf_counter() - began)
    return {"cold_s": median(cold), "again_s": median(again), "between_s": median(between), "tokens_s": throughput}


def _stream(client: Any, name: str, url: str, question: str, tokens: int) -> tuple[float, float, int]:
    """(seconds to the first piece, to the last one, tokens) of one streamed answer."""
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    body = {"model": name, "messages": [{"role": "user", "content": parts}], "max_tokens": tokens, "temperature": 0}
    body |= {"ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    first, last, said = 0.0, 0.0, 0
    start = time.perf_counter()
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {response.read().decode()[:200]}")
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            if chunk.get("usage"):
                said = chunk["usage"]["completion_tokens"]
            for choice in chunk["choices"]:
                # the role alone, or the reason alone, is no token
                if choice.get("finish_reason") is None and choice["delta"].get("role") is None:
                    last = time.perf_counter() - start
                    first = first or last
    if said != tokens:
        raise RuntimeError(f"{said} tokens came back, not {tokens}")
    return first or time.perf_counter() - start, last or time.perf_counter() - start, said


def _data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _transformers(work: Work) -> dict[str, Any]:
    import torch
    from measure import Clock, resident

    from pixelword.generation.session import load, user_message

    session = load(work.model, dtype=cpu_dtype(), device="cpu")
    model, processor = session.model, session.processor
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0

    def ask(pictures: Sequence[Image.Image], question: str, tokens: int) -> tuple[float, float]:
        start = time.perf_counter()
        prompts = [processor.encode([user_message(question, item)], add_generation_prompt=True) for item in pictures]
        clock = Clock()
        streamer = {"streamer": clock} if len(pictures) == 1 else {}  # transformers streams one row only
        model.generate(**processor.batch(prompts), max_new_tokens=tokens, do_sample=False, **streamer)
        end = time.perf_counter() - start
        return (clock.times[1] - start if clock.times else end), end

    with torch.inference_mode():
        ask([work.picture(0)], QUESTION, 4)
        cold, again, between = [], [], []
        for number in range(1, 1 + work.repeats):
            picture = work.picture(number)
            cold.append(ask([picture], QUESTION, 1)[0])
            again.append(ask([picture], OTHER, 1)[0])
            first, end = ask([picture], QUESTION, work.new_tokens)
            between.append((end - first) / (work.new_tokens - 1))
        throughput = {}
        for load_ in work.loads:
            pictures = [work.picture(100 + number) for number in range(load_)]
            throughput[str(load_)] = load_ * work.new_tokens / ask(pictures, OTHER, work.new_tokens)[1]
    found = {"cold_s": median(cold), "again_s": median(again), "between_s": median(between)}
    return found | {"tokens_s": throughput, "bytes": resident()}


@contextmanager
def _vllm(work: Work, python: Path, folder: Path, threads: int) -> Iterator[tuple[str, int]]:
    """vLLM's own server on a free port, with a checkpoint written out where the model is a packaged one."""
    import socket

    import httpx

    from pixelword.checkpoints.names import resolve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--model", str(resolve(work.model)), "--served-model-name", "model", "--dtype", cpu_dtype()]
    options += ["--port", str(port), "--max-num-seqs", str(max(work.loads)), "--disable-chunked-mm-input"]
    text = json.loads((resolve(work.model) / "config.json").read_text())["llm_config"]
    options += ["--max-model-len", str(min(4096, text["max_position_embeddings"])), "--max-num-batched-tokens", "4096"]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "2", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", *options]
    address, log = f"http://127.0.0.1:{port}", folder / "vllm.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        end = time.monotonic() + 600
        while not _answers(httpx, address):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"vLLM did not start; it wrote: {log.read_text()[-1500:]}")
            time.sleep(0.5)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _answers(httpx: Any, address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


def _tree_bytes(pid: int) -> int:
    """Resident bytes of a process and all below it: vLLM's network lives in a child."""
    from served import Served

    held = Served("", pid, Path()).measure()
    return held.bytes + held.worker_bytes

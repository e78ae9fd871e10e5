"""Tests inside vLLM: `make test-vllm` runs them in an environment of its own. Elsewhere they are not collected."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HAS_VLLM = importlib.util.find_spec("vllm") is not None
collect_ignore_glob = [] if HAS_VLLM else ["test_*.py"]

# Read by vLLM when it is imported. One process, so that a failing engine shows its own traceback.
os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_OMP_THREADS_BIND="nobind")
os.environ.update(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="WARNING")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "conformance"))  # the kit is used from its folder
EXAMPLES = ROOT / "examples"
NANO = ROOT / "src" / "pixelword" / "weights" / "nano"
RELEASED = ROOT / "conformance" / "pixelword_conformance" / "released" / "neo-parity"


@pytest.fixture(scope="module")
def engine() -> Iterator[Callable[..., Any]]:
    """engine(folder, **options) -> a vLLM engine, the same one for the same arguments within a module."""
    from vllm import LLM

    made: dict[str, Any] = {}

    def make(folder: Path | str, **options: Any) -> Any:
        given = {
            **{"dtype": "float32", "enforce_eager": True, "max_model_len": 1024, "max_num_seqs": 8},
            **{"max_num_batched_tokens": 256, "disable_log_stats": True, "block_size": 32},
            **{"kv_cache_memory_bytes": 64 << 20},
            **options,
        }
        key = repr((str(folder), sorted(given.items())))
        if key not in made:
            made[key] = LLM(str(folder), **given)
        return made[key]

    yield make
    for item in made.values():
        item.llm_engine.engine_core.shutdown()


@dataclass(frozen=True)
class Plain:
    """What transformers answers, one conversation at a time, greedily."""

    model: Any
    processor: Any

    def tokens(self, messages: Sequence[Any], most: int = 16) -> list[int]:
        return self.answer(messages, most)[0]

    def answer(self, messages: Sequence[Any], most: int = 16) -> tuple[list[int], list[float]]:
        """Tokens, and the logarithm of each one's probability."""
        encoded = self.processor.encode(messages, add_generation_prompt=True)
        settings = {"max_new_tokens": most, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
        found = self.model.generate(**self.processor.batch([encoded]), **settings)
        tokens = found.sequences[0, len(encoded) :].tolist()
        return tokens, [float(row[0].log_softmax(-1)[item]) for row, item in zip(found.logits, tokens, strict=True)]

    def prompt(self, messages: Sequence[Any]) -> list[int]:
        return self.processor.encode(messages, add_generation_prompt=True).input_ids.tolist()


@pytest.fixture(scope="session")
def plain() -> Callable[[Path], Plain]:
    """plain(folder) -> `Plain` in float32."""
    import torch

    from pixelword.checkpoints.load import load_pretrained
    from pixelword.processing import NeoOVProcessor

    def make(folder: Path) -> Plain:
        return Plain(load_pretrained(folder, dtype=torch.float32), NeoOVProcessor.from_pretrained(folder))

    return make


@pytest.fixture(scope="session")
def nano_folder() -> Path:
    return NANO


@pytest.fixture(scope="session")
def nano(plain: Any) -> Plain:
    return plain(NANO)


@pytest.fixture
def altered_nano(tmp_path: Path) -> Callable[..., Path]:
    """altered_nano(text_bypasses_pre_buffer=True) -> a copy of nano whose language part's configuration is changed."""
    import json

    def make(**changes: Any) -> Path:
        folder = tmp_path / "nano"
        shutil.copytree(NANO, folder)
        config = json.loads((folder / "config.json").read_text())
        config["llm_config"].update(changes)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make


def with_media(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """Messages of ours as vLLM's `chat` wants them: pictures as data URLs, videos as files in base64."""
    import base64

    def part(item: dict[str, Any]) -> dict[str, Any]:
        if item["type"] == "text":
            return item
        path = Path(item[item["type"]])
        kind = {"image": "image/png", "video": "video/mp4"}[item["type"]]
        url = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
        return {"type": f"{item['type']}_url", f"{item['type']}_url": {"url": url}}

    return [
        {
            **message,
            "content": message["content"]
            if isinstance(message["content"], str)
            else [part(p) for p in message["content"]],
        }
        for message in messages
    ]


def asked(question: str, *media: str) -> list[dict[str, Any]]:
    """A conversation of one question about example files."""
    parts: list[dict[str, Any]] = [
        {"type": "video" if name.endswith("mp4") else "image"}
        | {"video" if name.endswith("mp4") else "image": str(EXAMPLES / name)}
        for name in media
    ]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


@pytest.fixture(scope="session")
def ask() -> Callable[..., list[dict[str, Any]]]:
    """ask("what is it?", "red_circle.png") -> a conversation of one question about example files."""
    return asked


@pytest.fixture(scope="session")
def questions() -> dict[str, list[dict[str, Any]]]:
    """A conversation of every kind, by name."""
    return {
        "picture": asked("what colour is the circle?", "red_circle.png"),
        "several": asked("which picture has more objects?", "left_right.png", "three_squares.png"),
        "video": asked("which way does it move?", "moving_right.mp4"),
        "text": [{"role": "user", "content": "what is the opposite of hot?"}],
        "turns": [
            *asked("how many objects are there?", "three_squares.png"),
            {"role": "assistant", "content": "3"},
            {"role": "user", "content": "what colour are they?"},
        ],
        "system": [{"role": "system", "content": "Answer."}, *asked("what is on the left?", "left_right.png")],
    }


@pytest.fixture(scope="session")
def as_sent() -> Callable[..., list[dict[str, Any]]]:
    """as_sent(conversation) -> its messages with media in data URLs."""
    return with_media


@pytest.fixture(scope="session")
def greedy() -> Callable[..., list[Any]]:
    """greedy(engine, conversations, most=16, **more) -> vLLM's outputs."""

    def run(engine: Any, conversations: Sequence[Any], most: int = 16, **more: Any) -> list[Any]:
        from vllm import SamplingParams

        asked_for = [with_media(conversation) for conversation in conversations]
        settings = SamplingParams(temperature=0, max_tokens=most, logprobs=0)
        return engine.chat(asked_for, settings, use_tqdm=False, **more)

    return run


@pytest.fixture(scope="session")
def assert_equal() -> Callable[..., None]:
    """assert_equal(output, plain, messages): the same tokens, as probable as in transformers."""

    def check(output: Any, plain: Plain, messages: Sequence[Any], tolerance: float = 1e-4) -> None:
        (found,) = output.outputs
        tokens, expected = plain.answer(messages)
        assert list(found.token_ids) == tokens
        chosen = [step[token].logprob for step, token in zip(found.logprobs, tokens, strict=True)]
        assert chosen == pytest.approx(expected, abs=tolerance)

    return check

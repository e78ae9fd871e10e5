"""Every way that Pixelword runs a model holds to the kit's golden values; a wrong one does not."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pixelword_conformance import TOLERANCES, Server, TransformersPort, all_checks, url_checks
from pixelword_conformance.conversations import IMAGES, Conversation
from pixelword_conformance.golden import CHECKPOINTS
from pixelword_conformance.table import run, selected, verdict

from pixelword.checkpoints.load import load_pretrained
from pixelword.generation.engine import Engine
from pixelword.generation.request import BatchingOptions
from pixelword.generation.sampling import Sampling
from pixelword.processing import NeoOVProcessor

NO_COMPILER = pytest.mark.skipif(not shutil.which("g++"), reason="it is compiled, and there is no g++")
KERNELS = ["eager", "sdpa", pytest.param("flex_attention", marks=[NO_COMPILER, pytest.mark.slow])]
#: On the engine: guesses of several tokens, prompts in chunks of eight tokens, compiled steps, int8 weights.
ENGINES = [
    pytest.param(BatchingOptions(), "float32", id="engine"),
    pytest.param(BatchingOptions(max_num_batched_tokens=8, num_speculative_tokens=0), "float32", id="chunks"),
    pytest.param(BatchingOptions(quantization="int8"), "int8", id="int8"),
    pytest.param(BatchingOptions(compile=True), "float32", id="compiled", marks=[NO_COMPILER, pytest.mark.slow]),
]


def transformers_port(**options: Any) -> Callable[[Path], TransformersPort]:
    return partial(TransformersPort, imports=("pixelword",), **options)


@pytest.mark.parametrize("kernel", KERNELS)
def test_transformers(kernel: str) -> None:
    # Images are prepared alike, whatever the kernel; flex compiles anew for every length.
    names = {"sdpa": ["*"], "eager": ["released-*", "tiny-*"]}.get(kernel, ["tiny-untied/*/logits"])
    rows = run(selected(all_checks(), names), transformers_port(attention=kernel), TOLERANCES["float32"])
    assert verdict(rows)[1] == 0
    assert all(outcome.state == "holds" for _, _, outcome in rows)


def test_bfloat16() -> None:
    checks = selected(all_checks(), ["tiny-untied/*"])
    assert verdict(run(checks, transformers_port(dtype="bfloat16"), TOLERANCES["bfloat16"]))[1] == 0


def causal(monkeypatch: pytest.MonkeyPatch) -> None:
    from pixelword.model import masks, modeling

    def wrong(*arguments: Any, **options: Any) -> masks.Interval:
        found = masks.interval(*arguments, **options)
        past = int(found.hi[0, -1]) + 1 - found.hi.shape[1]
        return masks.Interval(found.lo, torch.arange(found.hi.shape[1]).expand_as(found.hi) + past)

    monkeypatch.setattr(modeling, "interval", wrong)


def off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from pixelword.model import visual_tokens

    original = visual_tokens.rope_index

    def wrong(visual: torch.Tensor, *arguments: Any) -> torch.Tensor:
        found = original(visual, *arguments)
        return found + (visual.flatten().cumsum(0).view_as(visual) > 0) * ~visual

    monkeypatch.setattr(visual_tokens, "rope_index", wrong)


def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    from pixelword.model.network import PatchEmbedding

    original = PatchEmbedding.forward

    def wrong(self: Any, pixel_values: torch.Tensor, image_grid_hw: torch.Tensor) -> torch.Tensor:
        if len(image_grid_hw) > 1 and torch.equal(image_grid_hw[0], image_grid_hw[1]):
            size = int(image_grid_hw[0].prod())
            first, second, rest = pixel_values[:size], pixel_values[size : 2 * size], pixel_values[2 * size :]
            pixel_values = torch.cat((second, first, rest))
        return original(self, pixel_values, image_grid_hw)

    monkeypatch.setattr(PatchEmbedding, "forward", wrong)


@pytest.mark.parametrize(
    ("break_it", "case"), [(causal, "one/logits"), (off_by_one, "one/logits"), (swapped, "video/logits")]
)
def test_a_wrong_model_of_ours_is_caught(
    monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None], case: str
) -> None:
    break_it(monkeypatch)
    checks = selected(all_checks(), ["tiny-untied/text/logits", f"tiny-untied/{case}"])
    rows = run(checks, transformers_port(attention="eager"), TOLERANCES["float32"])
    assert {name: outcome.state for name, _, outcome in rows} == {
        "tiny-untied/text/logits": "holds",
        f"tiny-untied/{case}": "differs",
    }


class InProcess:
    """What `Server` is to the checks, on an engine in this process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def reply(self, conversation: Conversation, count: int) -> dict[str, Any]:
        return self.complete(conversation, count)

    def complete(self, conversation: Conversation, count: int) -> dict[str, Any]:
        messages = conversation.messages(lambda file: {"type": "image", "image": str(IMAGES / file)})
        prompt = self.engine.processor.encode(messages, add_generation_prompt=True)
        request = self.engine.submit(prompt, Sampling(count, logprobs=0))
        decode = self.engine.processor.tokenizer.decode
        content = [{"token": decode([item.id]), "logprob": item.logprob} for item in request]
        return {
            "choices": [{"message": {"content": request.text}, "logprobs": {"content": content}}],
            "usage": {"prompt_tokens": request.usage.prompt_tokens},
        }


@contextmanager
def engine_of(checkpoint: str, options: BatchingOptions) -> Iterator[Engine]:
    folder = CHECKPOINTS / checkpoint
    model = load_pretrained(folder, dtype=torch.float32)
    with Engine(model, NeoOVProcessor.from_pretrained(folder), options) as running:
        yield running


@pytest.mark.parametrize(("options", "tolerance"), ENGINES)
@pytest.mark.parametrize("checkpoint", ["tiny-untied", "tiny-tied"])
def test_engine(checkpoint: str, options: BatchingOptions, tolerance: str) -> None:
    with engine_of(checkpoint, options) as engine:
        port = InProcess(engine)
        rows = run(url_checks(checkpoint), lambda folder: port, TOLERANCES[tolerance])
    assert verdict(rows)[1] == 0


def test_served() -> None:
    pytest.importorskip("fastapi", reason='the server needs pip install "pixelword[serve]"')
    uvicorn = pytest.importorskip("uvicorn", reason='the server needs pip install "pixelword[serve]"')
    from pixelword.serving.app import create_app
    from pixelword.serving.settings import Settings
    from pixelword.serving.workers import Workers

    settings = dataclasses.replace(Settings(), max_waiting=64)
    with (
        engine_of("tiny-untied", BatchingOptions()) as engine,
        Workers(CHECKPOINTS / "tiny-untied", settings) as workers,
    ):
        app = create_app(engine, workers, settings)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        port = Server(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        rows = run(url_checks("tiny-untied"), lambda folder: port, TOLERANCES["float32"])
        server.should_exit = True
        thread.join(30)
    assert verdict(rows) == ("23 hold", 0)

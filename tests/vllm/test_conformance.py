"""vLLM holds to the kit's golden values, in whole prompts and in chunks that images do not fit into."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pixelword_conformance import TOLERANCES, url_checks
from pixelword_conformance.conversations import Conversation
from pixelword_conformance.golden import CHECKPOINTS
from pixelword_conformance.table import run, verdict
from pixelword_conformance.url import image_part


class InProcess:
    """What `Server` is to the checks, on vLLM in this process, a request at a time."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.lock = engine, threading.Lock()

    def reply(self, conversation: Conversation, count: int) -> dict[str, Any]:
        return self.complete(conversation, count)

    def complete(self, conversation: Conversation, count: int) -> dict[str, Any]:
        from vllm import SamplingParams

        settings = SamplingParams(temperature=0, max_tokens=count, logprobs=0)
        with self.lock:
            (output,) = self.engine.chat(conversation.messages(image_part), settings, use_tqdm=False)
        (found,) = output.outputs
        decode = self.engine.get_tokenizer().decode
        steps = zip(found.token_ids, found.logprobs, strict=True)
        content = [{"token": decode([token]), "logprob": step[token].logprob} for token, step in steps]
        return {
            "choices": [{"message": {"content": found.text}, "logprobs": {"content": content}}],
            "usage": {"prompt_tokens": len(output.prompt_token_ids)},
        }


@pytest.mark.parametrize("checkpoint", ["tiny-untied", "tiny-tied"])
def test_conformance(engine: Any, checkpoint: str) -> None:
    port = InProcess(engine(CHECKPOINTS / checkpoint, max_num_batched_tokens=64))
    rows = run(url_checks(checkpoint), lambda folder: port, TOLERANCES["float32"])
    assert verdict(rows) == ("23 hold", 0)

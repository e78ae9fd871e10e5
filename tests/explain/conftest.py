"""nano, which finds a star; and a tiny network of four layers, two of them pre-buffer, that has read two pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pixelword
from pixelword.explain.trace import Reading, read
from pixelword.generation.session import Session
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def nano() -> pixelword.Session:
    return pixelword.load("nano", dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def left(nano: pixelword.Session) -> pixelword.explain.Explanation:
    """Its answer "a yellow star", which is in cell 3 of nine."""
    return pixelword.look_inside(nano, "what is on the left?", images=EXAMPLES / "left_right.png")


@pytest.fixture(scope="session")
def sessions(tiny_config: Any, tiny_tokenizer: Any) -> Callable[..., Session]:
    """sessions(text_bypasses_pre_buffer=True): a session with that network."""
    processor = NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=16384), tiny_tokenizer)

    def make(**text: Any) -> Session:
        config = copy.deepcopy(tiny_config)
        for name, value in {"num_hidden_layers": 4, "extra_num_layers": 2, **text}.items():
            setattr(config.llm_config, name, value)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = NeoOVForConditionalGeneration(config)
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1:
                    torch.nn.init.uniform_(parameter, 0.5, 1.5)
                else:
                    torch.nn.init.normal_(parameter, 0, 1 if "embed_tokens" in name else 0.15)
        return Session(model.eval(), processor)

    return make


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def messages() -> list[dict[str, Any]]:
    """Two pictures, of 3 x 2 and of 2 x 2 visual tokens, and a question."""
    parts = [{"type": "image", "image": item} for item in (picture(64, 96), picture(65, 64))]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "alike?"}]}]


@pytest.fixture(scope="session")
def readings(sessions: Callable[..., Session]) -> Callable[..., Reading]:
    """readings(text_bypasses_pre_buffer=True): what that network read, with the answer "no"."""

    def make(**text: Any) -> Reading:
        session = sessions(**text)
        prompt = session.processor.encode(messages(), add_generation_prompt=True)
        return read(session.model, session.processor, prompt, session.processor.encoder.answer("no"))

    return make


@pytest.fixture(scope="session", params=[False, True], ids=["plain", "bypass"])
def reading(readings: Callable[..., Reading], request: pytest.FixtureRequest) -> Reading:
    return readings(text_bypasses_pre_buffer=request.param)

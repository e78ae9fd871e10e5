"""Compression of visual tokens: what is known by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pixelword
from pixelword.errors import InputError
from pixelword.generation.compression import METHODS, Compression, Kept, Prompt
from pixelword.generation.compression.methods import Merge, budgets
from pixelword.generation.compression.prefill import CompressedPrefill
from pixelword.generation.engine import Engine
from pixelword.generation.long_context import LongInputs, parse_compression
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session

EXAMPLES = Path(__file__).parents[2] / "examples"
STAGES = ("input", "pre-buffer", "cache")


class All:
    """Keeps every token, and says so of each."""

    def __init__(self, weights: bool = False) -> None:
        self.weights = weights

    def keep(self, grid: torch.Tensor, states: torch.Tensor, prompt: Prompt) -> Kept:
        return Kept(torch.arange(len(states)), torch.eye(len(states)) if self.weights else None)


@pytest.fixture(scope="module")
def nano() -> Session:
    return pixelword.load("nano", dtype="float32", device="cpu")


def picture(seed: int, width: int = 128, height: int = 96) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def prompt(session: Session, *images: Any) -> Any:
    parts = [{"type": "image", "image": image} for image in images]
    content = [*parts, {"type": "text", "text": "what is on the left?"}]
    return session.processor.encode([{"role": "user", "content": content}], add_generation_prompt=True)


def plain(session: Session, encoded: Any) -> torch.Tensor:
    with torch.inference_mode():
        return session.model(**session.processor.batch([encoded]), logits_to_keep=1).logits[0, -1]


@pytest.mark.parametrize("stage", ["input", "pre-buffer"])
@pytest.mark.parametrize("weights", [False, True])
def test_keeping_everything_is_the_plain_path_to_the_bit(nano: Session, stage: Any, weights: bool) -> None:
    encoded = prompt(nano, picture(1), picture(2, 64, 64))
    reader = CompressedPrefill(nano.model, encoded, Compression("own", 1.0, stage, compressor=All(weights)))
    assert torch.equal(reader.read_whole(), plain(nano, encoded))
    assert len(reader.held) == reader.cache.get_seq_length() == len(encoded)


def test_keeping_everything_in_the_cache_is_reading_in_two_stretches(nano: Session) -> None:
    encoded = prompt(nano, picture(1))
    reader = CompressedPrefill(nano.model, encoded, Compression("own", 1.0, "cache", compressor=All()))
    torch.testing.assert_close(reader.read_whole(), plain(nano, encoded), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("method", METHODS)
def test_what_stays_is_as_much_as_asked_for_and_keeps_its_place(nano: Session, stage: Any, method: str) -> None:
    if (method, stage) in (("question", "input"), ("merge", "cache")):
        with pytest.raises(InputError, match="use the stage"):
            Compression(method, 0.25, stage)
        return
    encoded = prompt(nano, picture(1), picture(2, 64, 64))
    reader = CompressedPrefill(nano.model, encoded, Compression(method, 0.25, stage))
    logits = reader.read_whole()
    assert bool(logits.isfinite().all())
    assert len(reader.held) == len(encoded) - encoded.visual_tokens + 3 + 1  # of 12 and of 4
    assert {layer.keys.shape[2] for layer in reader.cache.layers} == {len(reader.held)}
    text = (encoded.mm_token_type_ids == 0).nonzero()[:, 0]
    assert set(text.tolist()) <= set(reader.held.tolist()) and bool((reader.held.diff() > 0).all())
    for image in encoded.images:
        assert any(image.start <= place < image.stop for place in reader.held.tolist())


def test_before_the_model_what_is_dropped_was_never_there(nano: Session) -> None:
    """Dropping the tokens of one image in all but one place leaves nothing of its other pixels."""

    class First:
        def keep(self, grid: torch.Tensor, states: torch.Tensor, prompt: Prompt) -> Kept:
            return Kept(torch.tensor([0]))

    image = picture(1, 64, 64)
    other = image.copy()
    other.paste((255, 0, 0), (32, 0, 64, 64))
    other.paste((0, 0, 255), (0, 32, 64, 64))
    asked = Compression("own", 0.25, "input", compressor=First())
    both = [CompressedPrefill(nano.model, prompt(nano, each), asked).read_whole() for each in (image, other)]
    assert torch.equal(*both)
    assert not torch.equal(plain(nano, prompt(nano, image)), plain(nano, prompt(nano, other)))


def test_merging_joins_the_most_alike() -> None:
    states = torch.tensor([[1.0, 0], [0, 1.0], [1.0, 0.01], [0, 1.01]])
    kept = Merge(0.5).keep(torch.tensor([[2, 2]]), states, Prompt(states, None))
    assert kept.weights is not None
    torch.testing.assert_close(kept.weights.sum(1), torch.ones(2))
    assert sorted(tuple(row.nonzero()[:, 0].tolist()) for row in kept.weights) == [(0, 2), (1, 3)]
    assert budgets(torch.tensor([[2, 2], [1, 3]]), 0.12) == [(0, 4, 1), (4, 3, 1)]


def test_a_session_and_an_engine_answer_alike_and_hold_less(nano: Session) -> None:
    image = Image.open(EXAMPLES / "left_right.png")
    encoded, chosen = prompt(nano, image), Compression("question", 0.5)
    session = Session(nano.model, nano.processor, long=LongInputs(compression=chosen))
    content = [{"type": "image", "image": image}, {"type": "text", "text": "what is on the left?"}]
    answer = session.answer([{"role": "user", "content": content}])
    with Engine(nano.model, nano.processor) as engine:
        request = engine.submit(encoded, Sampling(16), compression=chosen)
        assert request.result().strip() == answer.text
        whole = engine.submit(encoded, Sampling(16), compression=Compression("random", 1.0))
        assert whole.result().strip() == nano.ask("what is on the left?", images=image)
        assert whole.compression is None and request.compression == chosen


def test_mistakes_are_told(nano: Session) -> None:
    assert Compression.parse("question:0.25") == Compression("question", 0.25)
    assert Compression.parse("norm:0.5:input").stage == "input"
    for text, why in (
        ("burn:0.5", "unknown compression 'burn'"),
        ("norm", "write METHOD:SHARE"),
        ("norm:2", "keeps a share of 2.0"),
        ("norm:0.5:end", "unknown compression stage 'end'"),
    ):
        with pytest.raises(InputError, match=why):
            Compression.parse(text)
    assert parse_compression("frames:8") == (LongInputs(kept_frames=8), None)
    assert parse_compression("frame-budget:8") == (LongInputs(), 8)
    with pytest.raises(InputError, match="frames:N"):
        parse_compression("frames:few")
    with pytest.raises(InputError, match="give one of them"):
        LongInputs(kept_frames=4, compression=Compression("norm", 0.5))

    class Wrong:
        def keep(self, grid: torch.Tensor, states: torch.Tensor, prompt: Prompt) -> Kept:
            return Kept(torch.tensor([3, 1]))

    with pytest.raises(InputError, match="ascending indices"):
        CompressedPrefill(
            nano.model, prompt(nano, picture(1)), Compression("own", 0.5, compressor=Wrong())
        ).read_whole()

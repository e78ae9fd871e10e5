"""Vectors of images and texts: what looks alike is near, and company changes nothing."""

from __future__ import annotations

from random import Random

import pytest
import torch

from pixelword.errors import InputError, MediaError
from pixelword.generation.embedding import batches
from pixelword.generation.session import Session, load
from pixelword.synthetic.drawing import render
from pixelword.synthetic.scenes import draw_distinct

NUMBER = 100


@pytest.fixture(scope="module")
def session() -> Session:
    return load("nano", dtype="float32", device="cpu")


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_the_nearest_image_has_the_same_colour_and_shape(session, pooling) -> None:
    """By chance a neighbour has the same colour in 12 of 100 cases, the same shape in 14."""
    rng = Random(0)
    scenes = [draw_distinct(rng, 1, level=0.2, split="test", size=(64, 64)) for _ in range(NUMBER)]
    inputs = [[{"role": "user", "content": [{"type": "image", "image": render(scene)}]}] for scene in scenes]
    vectors = session.embed(inputs, pooling=pooling)
    assert vectors.shape == (NUMBER, session.model.config.llm_config.hidden_size) and vectors.dtype == torch.float32
    assert torch.allclose(vectors.norm(dim=1), torch.ones(NUMBER))
    nearest = (vectors @ vectors.T).fill_diagonal_(-1).argmax(1).tolist()
    for name in ("colour", "shape"):
        kinds = [getattr(scene.things[0], name) for scene in scenes]
        same = sum(kinds[place] == kinds[other] for place, other in enumerate(nearest)) / NUMBER
        assert same > 0.6, (name, same)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_an_input_has_the_vector_that_it_has_alone(session, pooling) -> None:
    inputs = ["a red circle", "what is the opposite of hot?", "a", [{"role": "user", "content": "a red circle"}]]
    together = session.embed(inputs, pooling=pooling)
    for vector, item in zip(together, inputs, strict=True):
        assert torch.allclose(vector, session.embed([item], pooling=pooling)[0], atol=1e-5)
    states = session.model(**session.processor.batch([session.processor.encode(inputs[3])]), output_hidden_states=True)
    last = states.hidden_states[-1][0].detach()
    pooled = last.mean(0) if pooling == "mean" else last[-1]
    assert torch.allclose(together[3], pooled / pooled.norm(), atol=1e-5)


def test_what_cannot_be_read_is_refused(session) -> None:
    assert session.embed([]).shape == (0, session.model.config.llm_config.hidden_size)
    with pytest.raises(InputError, match="input 2 is empty"):
        session.embed(["a", ""])
    with pytest.raises(InputError, match="input 1 has"):
        session.embed(["a " * 3000])
    with pytest.raises(MediaError):
        session.embed([[{"role": "user", "content": [{"type": "image", "image": "/nowhere.png"}]}]])


def test_batches_hold_each_prompt_once_and_are_bounded() -> None:
    lengths = [Random(1).randint(1, 3000) for _ in range(200)]
    found = list(batches(lengths))
    assert sorted(place for batch in found for place in batch) == [*range(200)]
    for batch in found:
        longest = max(lengths[place] for place in batch)
        assert len(batch) == 1 or (len(batch) <= 32 and len(batch) * longest <= 8192)

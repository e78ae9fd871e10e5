"""Late reading: images by content, wherever they stand, and no keys of theirs in the pre-buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pixelword
from pixelword.errors import InputError
from pixelword.evaluation.suite import chosen
from pixelword.explain.probe import allow_late_reading
from pixelword.explain.probe.forward import asked
from pixelword.explain.probe.split import alone
from pixelword.generation.compression import Compression
from pixelword.generation.engine import Engine
from pixelword.generation.late_options import LateReading
from pixelword.generation.late_reading import ImageStates, LatePrefill
from pixelword.generation.request import BatchingOptions
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session

ALLOWED = LateReading(0.0, 0.0, 1)


@pytest.fixture(scope="module")
def nano() -> Session:
    return pixelword.load("nano", dtype="float32", device="cpu")


def picture(seed: int) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    return {"type": "image", "image": Image.fromarray(pixels)}


def messages(*seeds: int, words: str = "which picture has more things?") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*map(picture, seeds), {"type": "text", "text": words}]}]


def prompt(session: Session, *seeds: int, words: str = "which picture has more things?") -> Any:
    return session.processor.encode(messages(*seeds, words=words), add_generation_prompt=True)


def test_it_is_the_probes_intervention(nano: Session) -> None:
    """The same as hiding every pair of different images or modalities in the pre-buffer."""
    question = asked(nano, "a", messages(1, 2), "the first")
    wanted = question.logits(alone(question, range(2)))[0]
    found = LatePrefill(nano.model, prompt(nano, 1, 2), ImageStates(nano.model, 1 << 20)).read_whole()
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_cached_images_give_the_same_bits_in_another_order_and_place(nano: Session) -> None:
    cache = ImageStates(nano.model, 1 << 20)
    LatePrefill(nano.model, prompt(nano, 1, 2), cache).read_whole()
    assert (cache.computed, cache.found) == (24, 0)
    other = prompt(nano, 3, 1, words="what is in the last?")
    again = LatePrefill(nano.model, other, cache).read_whole()
    assert (cache.computed, cache.found) == (36, 12)
    fresh = LatePrefill(nano.model, other, ImageStates(nano.model, 1 << 20)).read_whole()
    assert torch.equal(again, fresh)
    tiny = ImageStates(nano.model, 0)
    assert torch.equal(LatePrefill(nano.model, other, tiny).read_whole(), fresh) and tiny.nbytes == 0


def test_the_pre_buffer_holds_text_alone(nano: Session) -> None:
    encoded = prompt(nano, 1, 2)
    reader = LatePrefill(nano.model, encoded, ImageStates(nano.model, 1 << 20))
    reader.read_whole()
    lengths = [layer.keys.shape[2] for layer in reader.cache.layers]
    assert lengths == [len(encoded) - 24] * 2 + [len(encoded)] * 4


def test_an_engine_decodes_what_a_whole_pass_gives_and_holds_less(nano: Session) -> None:
    """Beside a request without images, whose pre-buffer holds everything."""
    encoded, words = prompt(nano, 1, 2), prompt(nano, words="what is two plus two?")
    with Engine(nano.model, nano.processor, BatchingOptions(late_reading=ALLOWED)) as engine:
        requests = [engine.submit(each, Sampling(8)) for each in (encoded, words, encoded)]
        for request in requests:
            request.result()
        assert engine.core.image_states is not None and engine.core.image_states.found == 24
        early = engine.core.slots.views(0, 1, 10_000)[0].shape[2]
    assert requests[0].token_ids == requests[2].token_ids
    with Engine(nano.model, nano.processor) as engine:
        assert engine.submit(words, Sampling(8)).result() == requests[1].text
    text = nano.processor.encoder.decode(requests[0].token_ids[:-1])
    question = asked(nano, "a", messages(1, 2), text)
    likeliest = question.logits(alone(question, range(2))).argmax(-1).tolist()
    ended = requests[0].reason == "stop"
    assert not ended or likeliest[: len(requests[0].token_ids)] == requests[0].token_ids
    assert early <= 256


def test_a_request_s_compression_is_refused(nano: Session) -> None:
    with (
        Engine(nano.model, nano.processor, BatchingOptions(late_reading=ALLOWED)) as engine,
        pytest.raises(InputError, match="reads images late"),
    ):
        engine.submit(prompt(nano, 1), Sampling(2), compression=Compression("norm", 0.5))


def test_it_is_refused_with_figures_where_it_changes_answers(nano: Session) -> None:
    with pytest.raises(InputError, match=r"late reading changes \d+.\d% of this model's answers .* on 8 questions"):
        allow_late_reading(nano, chosen(["nano"], ["what", "pair"]), limit=4)
    allowed = allow_late_reading(nano, chosen(["nano"], ["colour"]), limit=4, bound=1.0)
    assert 0 <= allowed.changed <= allowed.high <= 1 and allowed.questions == 4
    with pytest.raises(InputError, match="neither compile nor compression"):
        BatchingOptions(late_reading=ALLOWED, compile=True)

"""The second reading is the network's own, layer by layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pixelword.errors import InputError
from pixelword.explain.trace import Reading, read
from pixelword.generation.session import Session

TIGHT = {"rtol": 1e-5, "atol": 1e-6}


@torch.no_grad()
def test_each_step_is_the_layer(reading: Reading) -> None:
    for number, (before, after) in enumerate(zip(reading.states[:-1], reading.states[1:], strict=True)):
        torch.testing.assert_close(reading.step(number, before).out, after, **TIGHT)


@torch.no_grad()
def test_the_words_likelihood_is_the_networks(reading: Reading) -> None:
    logits = reading.model(**reading.inputs, use_cache=False).logits[0, reading.rows]
    expected = logits.log_softmax(-1).gather(-1, reading.word_ids[:, None])[:, 0]
    torch.testing.assert_close(reading.said(reading.states[-1]), expected, **TIGHT)
    assert [word.chance for word in reading.words] == pytest.approx(expected.exp().tolist(), rel=1e-4)


def test_pictures_have_their_places_and_pixels(reading: Reading) -> None:
    first, second = reading.pictures
    assert (first.rows, first.columns, second.rows, second.columns) == (3, 2, 2, 2)
    assert [*first.tokens, *second.tokens] == reading.visual.nonzero()[:, 0].tolist()
    assert first.pixels.shape == (96, 64, 3) and second.patches == 4 * 6
    assert (first.label, second.label) == ("1", "2")
    assert reading.answer == "no" and [word.place for word in reading.words] == [reading.length - 2, reading.length - 1]


def test_a_frame_has_its_time(sessions: Callable[..., Session]) -> None:
    from PIL import Image

    from pixelword.processing.videos import Video

    session = sessions()
    clip = Video((Image.new("RGB", (32, 32)), Image.new("RGB", (32, 32), "red")), (0.0, 61.5), 62.0)
    asked = [{"role": "user", "content": [{"type": "video", "video": clip}, {"type": "text", "text": "what?"}]}]
    prompt = session.processor.encode(asked, add_generation_prompt=True)
    found = read(session.model, session.processor, prompt, [65])
    assert [picture.label for picture in found.pictures] == ["00:00.00", "01:01.50"]


def test_words_that_look_like_a_time_are_no_label(sessions: Callable[..., Session]) -> None:
    from PIL import Image

    session, image = sessions(), {"type": "image", "image": Image.new("RGB", (32, 32))}
    asked = [{"role": "user", "content": [{"type": "text", "text": "at [00:01.00]:"}, image, image]}]
    prompt = session.processor.encode(asked, add_generation_prompt=True)
    assert [picture.label for picture in read(session.model, session.processor, prompt, [65]).pictures] == ["1", "2"]


def test_only_the_first_words_are_read(sessions: Callable[..., Session]) -> None:
    session = sessions()
    prompt = session.processor.encode([{"role": "user", "content": "hello"}], add_generation_prompt=True)
    assert len(read(session.model, session.processor, prompt, [65, 66, 67], max_words=2).words) == 2
    with pytest.raises(InputError, match="answer is empty"):
        read(session.model, session.processor, prompt, [])
    with pytest.raises(InputError, match="2,048"):
        read(session.model, session.processor, prompt, [65] * 2048, max_words=5000)

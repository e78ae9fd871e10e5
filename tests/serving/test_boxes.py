"""Places in served answers: an extension of the message, in the sender's pixels."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image
from pointing_model import POINTED

from pixelword.generation.engine import Engine
from pixelword.generation.session import load
from pixelword.serving.app import create_app
from pixelword.serving.settings import Settings
from pixelword.serving.workers import Workers

from .conftest import listening


@pytest.fixture(scope="module")
def client(pointing_model_dir: Path) -> Iterator[Any]:
    session = load(pointing_model_dir, dtype="float32", device="cpu")
    settings = Settings(workers=1)
    with Engine(session.model, session.processor) as engine, Workers(pointing_model_dir, settings) as workers:
        workers.wait()
        with listening(create_app(engine, workers, settings)) as address:
            yield openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def question(*sizes: tuple[int, int]) -> list[dict[str, Any]]:
    """Photographs taken with the camera on its side."""
    parts: list[dict[str, Any]] = []
    for size in sizes:
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x112] = 6
        Image.new("RGB", size, "navy").save(file, "JPEG", exif=exif)
        url = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "Find the star."}]}]


BOX = {"label": "star", "box": [8.0, 50.0, 40.0, 150.0], "box_1000": [100, 250, 500, 750], "image": 0}


def test_a_message_has_its_places_and_the_usage_what_was_seen(client: Any) -> None:
    answer = client.chat.completions.create(model="nano", messages=question((200, 80)))
    message = answer.choices[0].message
    assert message.content == POINTED
    assert message.objects == [BOX]
    details = answer.usage.prompt_tokens_details
    (image,) = details.images
    assert image["size"] == [80, 200]
    assert image["seen"][0] * image["seen"][1] == 1024 * image["tokens"]


def test_a_stream_has_them_in_its_last_chunk(client: Any) -> None:
    stream = client.chat.completions.create(
        model="nano", messages=question((200, 80)), stream=True, stream_options={"include_usage": True}
    )
    *pieces, last, cost = list(stream)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == POINTED
    assert last.choices[0].finish_reason == "stop" and last.choices[0].delta.objects == [BOX]
    assert not any(hasattr(piece.choices[0].delta, "objects") for piece in pieces)
    assert cost.usage.prompt_tokens_details.images[0]["image"] == 0


def test_of_several_images_none_is_guessed(client: Any) -> None:
    answer = client.chat.completions.create(model="nano", messages=question((200, 80), (64, 64)))
    (place,) = answer.choices[0].message.objects
    assert (place["image"], place["box"], place["box_1000"]) == (None, None, [100, 250, 500, 750])
    assert [image["size"] for image in answer.usage.prompt_tokens_details.images] == [[80, 200], [64, 64]]


def test_an_answer_without_places_has_no_such_field(client: Any) -> None:
    answer = client.chat.completions.create(model="nano", messages=question((64, 64)), max_tokens=3)
    assert not hasattr(answer.choices[0].message, "objects")

"""Places in served answers of every route: an extension of its format, in the sender's pixels."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
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
def address(pointing_model_dir: Path) -> Iterator[str]:
    session = load(pointing_model_dir, dtype="float32", device="cpu")
    settings = Settings(workers=1)
    with Engine(session.model, session.processor) as engine, Workers(pointing_model_dir, settings) as workers:
        workers.wait()
        with listening(create_app(engine, workers, settings)) as found:
            yield found


@pytest.fixture
def client(address: str) -> Any:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.fixture
def messages(address: str) -> Any:
    """The other client's `messages`."""
    return anthropic.Anthropic(base_url=address, api_key="none", max_retries=0).messages


def photographs(*sizes: tuple[int, int]) -> Iterator[str]:
    """Files in base64, taken with the camera on its side."""
    for size in sizes:
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x112] = 6
        Image.new("RGB", size, "navy").save(file, "JPEG", exif=exif)
        yield base64.b64encode(file.getvalue()).decode()


def question(*sizes: tuple[int, int]) -> list[dict[str, Any]]:
    """A question about photographs, for chat completions."""
    urls = [f"data:image/jpeg;base64,{data}" for data in photographs(*sizes)]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "Find the star."}]}]


def input_items(*sizes: tuple[int, int]) -> list[dict[str, Any]]:
    """The same for responses."""
    urls = [f"data:image/jpeg;base64,{data}" for data in photographs(*sizes)]
    parts = [{"type": "input_image", "image_url": url, "detail": "auto"} for url in urls]
    return [{"role": "user", "content": [*parts, {"type": "input_text", "text": "Find the star."}]}]


def turns(*sizes: tuple[int, int]) -> list[dict[str, Any]]:
    """The same for messages."""
    sources = [{"type": "base64", "media_type": "image/jpeg", "data": data} for data in photographs(*sizes)]
    blocks = [{"type": "image", "source": source} for source in sources]
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": "Find the star."}]}]


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


def test_a_message_with_places_can_be_sent_back(client: Any) -> None:
    first = question((200, 80))
    message = client.chat.completions.create(model="nano", messages=first).choices[0].message
    more = {"role": "user", "content": "where?"}
    answer = client.chat.completions.create(model="nano", messages=[*first, message, more], max_tokens=3)
    assert answer.choices[0].message.content


def test_a_response_has_places_in_its_text_and_is_sent_back(client: Any) -> None:
    response = client.responses.create(model="nano", input=input_items((200, 80)))
    (text,) = response.output[0].content
    assert text.text == POINTED and text.objects == [BOX]
    (image,) = response.usage.input_tokens_details.images
    assert image["size"] == [80, 200]
    assert client.responses.retrieve(response.id).output == response.output
    more = [*input_items((200, 80)), *response.output, {"role": "user", "content": "where?"}]
    assert client.responses.create(model="nano", input=more, max_output_tokens=3).output_text


def test_a_streamed_response_has_them_from_the_part_s_end(client: Any) -> None:
    events = list(client.responses.create(model="nano", input=input_items((200, 80)), stream=True))
    by_type = {event.type: event for event in events}
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == POINTED
    assert not hasattr(by_type["response.content_part.added"].part, "objects")
    assert by_type["response.content_part.done"].part.objects == [BOX]
    assert by_type["response.output_item.done"].item.content[0].objects == [BOX]
    completed = by_type["response.completed"].response
    assert completed.output[0].content[0].objects == [BOX]
    assert completed.usage.input_tokens_details.images[0]["size"] == [80, 200]


def test_a_message_of_the_other_form_has_them(messages: Any) -> None:
    answer = messages.create(model="nano", max_tokens=64, messages=turns((200, 80), (64, 64)))
    assert answer.content[0].text == POINTED
    (place,) = answer.objects
    assert (place["image"], place["box"], place["box_1000"]) == (None, None, [100, 250, 500, 750])
    assert [image["size"] for image in answer.usage.images] == [[80, 200], [64, 64]]


def test_its_stream_has_them_in_the_last_delta(messages: Any) -> None:
    with messages.stream(model="nano", max_tokens=64, messages=turns((200, 80))) as stream:
        events = {event.type: event for event in stream}
        assert stream.get_final_message().content[0].text == POINTED
    assert events["message_delta"].delta.objects == [BOX]
    assert events["message_delta"].usage.images[0]["size"] == [80, 200]
    assert events["message_start"].message.usage.images[0]["size"] == [80, 200]


def test_without_places_no_route_has_such_a_field(client: Any, messages: Any) -> None:
    response = client.responses.create(model="nano", input=input_items((64, 64)), max_output_tokens=3)
    assert response.status == "incomplete" and not hasattr(response.output[0].content[0], "objects")
    answer = messages.create(model="nano", max_tokens=3, messages=turns((64, 64)))
    assert not hasattr(answer, "objects")
    assert not hasattr(client.responses.create(model="nano", input="hello").usage.input_tokens_details, "images")

"""Programs as users write them, over public names alone: no rename or rebuild may break one of them."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pixelword

EXAMPLES = Path(__file__).parents[2] / "examples"
CIRCLE, TWO_SIDES, SQUARES = (EXAMPLES / f"{name}.png" for name in ("red_circle", "left_right", "three_squares"))
CLIP = EXAMPLES / "moving_right.mp4"
COLOUR = "what colour is the circle?"


@pytest.fixture(scope="module")
def nano() -> pixelword.Session:
    return pixelword.load("nano", dtype="float32", device="cpu")


def test_the_public_names() -> None:
    assert set(dir(pixelword)) >= {
        *("Answer", "Chat", "NeoOVConfig", "NeoOVForConditionalGeneration", "NeoOVModel", "NeoOVProcessor", "Session"),
        *("__version__", "load", "look_inside", "register", "unregister"),
    }
    assert all(getattr(pixelword, name) is not None for name in dir(pixelword))


@pytest.mark.parametrize(
    ("function", "keywords"),
    [
        ("load", {"dtype", "device", "media", "long"}),
        ("look_inside", {"images", "videos", "system", "answer", "max_words", "occlusions"}),
        ("Session.ask", {"images", "videos", "system"}),
        ("Session.stream", {"images", "videos", "system"}),
        ("Session.chat", {"system"}),
        (
            "Session.sampling",
            {"max_new_tokens", "temperature", "seed", "top_p", "top_k", "min_p", "repetition_penalty", "stop"},
        ),
    ],
)
def test_keywords_keep_their_names(function: str, keywords: set[str]) -> None:
    value = pixelword
    for part in function.split("."):
        value = getattr(value, part)
    assert keywords <= set(inspect.signature(value).parameters)


@pytest.mark.parametrize("form", ["path", "text", "PIL", "array", "bytes"])
def test_an_image_in_any_form(nano: pixelword.Session, form: str) -> None:
    with Image.open(CIRCLE) as file:
        pixels = file.convert("RGB")
    image = {
        "path": CIRCLE,
        "text": str(CIRCLE),
        "PIL": pixels,
        "array": np.asarray(pixels),
        "bytes": CIRCLE.read_bytes(),
    }
    assert nano.ask(COLOUR, images=image[form]) == "red"


def test_several_images_a_video_and_words(nano: pixelword.Session) -> None:
    assert nano.ask("which picture has more objects?", images=[TWO_SIDES, SQUARES]) == "the second"
    assert nano.ask("which way does it move?", videos=CLIP) == "right"
    assert nano.ask("what is the opposite of hot?") == "cold"
    assert nano.ask([COLOUR, "what is the opposite of hot?"], images=[CIRCLE, []]) == ["red", "cold"]


def test_streams_chats_and_messages(nano: pixelword.Session) -> None:
    assert "".join(nano.stream(COLOUR, images=CIRCLE)) == "red"
    chat = nano.chat()
    first = chat.send("what is on the left?", images=TWO_SIDES)
    assert first == nano.ask("what is on the left?", images=TWO_SIDES)
    assert chat.send("and what is on the right?") != first
    content = [{"type": "image", "image": str(CIRCLE)}, {"type": "text", "text": COLOUR}]
    answer = nano.answer([{"role": "user", "content": content}])
    assert isinstance(answer, pixelword.Answer)
    assert (answer.text, answer.finish_reason) == ("red", "stop")
    assert answer.prompt_tokens > answer.visual_tokens > 0
    assert nano.answers([[{"role": "user", "content": content}]])[0].text == "red"


def test_sampling_by_the_usual_keywords(nano: pixelword.Session) -> None:
    drawn = {"temperature": 1.0, "seed": 3, "top_p": 0.9, "top_k": 20, "min_p": 0.01, "max_new_tokens": 4}
    assert nano.ask(COLOUR, images=CIRCLE, **drawn) == nano.ask(COLOUR, images=CIRCLE, **drawn)
    with pytest.raises(TypeError, match="temprature"):
        nano.ask(COLOUR, images=CIRCLE, temprature=1.0)


def test_a_look_inside(nano: pixelword.Session, tmp_path: Path) -> None:
    seen = pixelword.look_inside(nano, COLOUR, images=CIRCLE, occlusions=4)
    assert seen.answer == "red"
    seen.save(tmp_path / "page.html", model="nano")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    (image,) = seen.save_png(tmp_path / "page.png")
    with Image.open(image) as shown:
        assert min(shown.size) > 100


def test_transformers_classes(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    session = pixelword.load("nano", dtype="float32", device="cpu")
    session.model.save_pretrained(tmp_path)
    session.processor.save_pretrained(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(model, pixelword.NeoOVForConditionalGeneration)
    assert isinstance(model.config, pixelword.NeoOVConfig)
    assert isinstance(processor, pixelword.NeoOVProcessor)
    content = [{"type": "image", "image": str(CIRCLE)}, {"type": "text", "text": COLOUR}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt",
    )  # fmt: skip
    assert {"input_ids", "attention_mask", "pixel_values", "image_grid_hw", "mm_token_type_ids"} <= set(inputs)
    written = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    new = written[:, inputs["input_ids"].shape[1] :]
    assert processor.batch_decode(new, skip_special_tokens=True) == ["red"]


def test_a_training_loop(nano: pixelword.Session) -> None:
    prompt = nano.processor(text=["<image>\nwhat colour is the circle?"], images=[CIRCLE], return_tensors="pt")
    model = pixelword.load("nano", dtype="float32", device="cpu").model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    losses = []
    for _ in range(3):
        loss = model(**prompt, labels=prompt["input_ids"]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_errors_are_value_errors_that_say_what_to_do(nano: pixelword.Session, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.png"):
        nano.ask(COLOUR, images=tmp_path / "nothing.png")
    with pytest.raises(ValueError, match="nowhere"):
        pixelword.load(tmp_path / "nowhere")

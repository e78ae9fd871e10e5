"""What transformers' users and trainers ask of any processor."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, pipeline

from pixelword.errors import InputError
from pixelword.processing import NeoOVImageProcessor, NeoOVProcessor, frames_to_video

WIDE, TALL = Image.new("RGB", (96, 32), "red"), Image.new("RGB", (64, 64), "blue")
OUT: dict[str, Any] = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"  # noqa: E501


def ask(text: str, *images: Any, answer: str | None = None) -> list[dict[str, Any]]:
    parts = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}]
    turns = [{"role": "user", "content": parts}]
    return turns if answer is None else [*turns, {"role": "assistant", "content": answer}]


def test_the_two_steps_of_transformers_documentation(processor: NeoOVProcessor) -> None:
    bare = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}]
    prompt = processor.apply_chat_template(bare, add_generation_prompt=True)
    assert prompt == processor.apply_chat_template(ask("what?", WIDE), add_generation_prompt=True)
    found = processor(text=prompt, images=[WIDE], return_tensors="pt")
    expected = processor.apply_chat_template(ask("what?", WIDE), add_generation_prompt=True, **OUT)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(InputError, match="message 1, part 1 names no image"):
        processor.apply_chat_template(bare, **OUT)


def test_options_that_change_nothing_pass(processor: NeoOVProcessor) -> None:
    plain = processor.apply_chat_template(ask("what?", WIDE), **OUT)
    inert = {"tools": None, "documents": [], "pad_to_multiple_of": None, "return_assistant_tokens_mask": False}
    inert |= {
        "truncation": True,
        "max_length": 500,
        "do_resize": True,
        "do_rescale": True,
        "return_token_type_ids": False,
    }
    inert |= {
        "enable_thinking": None,
        "load_audio_from_video": False,
        "image_mean": processor.image_processor.image_mean,
    }
    found = processor.apply_chat_template(ask("what?", WIDE), **OUT, **inert)
    assert set(found) == set(plain) and all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize("tokenize", [True, False])
def test_options_that_would_change_something_are_refused(processor: NeoOVProcessor, tokenize: bool) -> None:
    with pytest.raises(InputError, match="documents is not done"):
        processor.apply_chat_template(ask("what?"), documents=[{"title": "x"}], tokenize=tokenize)
    with pytest.raises(InputError, match="padding is given twice"):
        processor(text=["a", "b"], padding=True, text_kwargs={"padding": "max_length"})
    with pytest.raises(InputError, match="use min_pixels and max_pixels"):
        processor(text="<image>", images=WIDE, size={"height": 3, "width": 3})
    with pytest.raises(InputError, match="padding_side 'middle'"):
        processor(text="a", padding_side="middle")


def test_padding_on_either_side(processor: NeoOVProcessor) -> None:
    two = [ask("a", WIDE), ask("a longer question")]
    left = processor.apply_chat_template(two, **OUT)
    right = processor.apply_chat_template(two, **OUT, padding_side="right", pad_to_multiple_of=8)
    assert processor.tokenizer.padding_side == "left"
    assert right["input_ids"].shape[1] % 8 == 0
    for row in range(2):
        for name in ("input_ids", "mm_token_type_ids"):
            kept = [batch[name][row][batch["attention_mask"][row] == 1] for batch in (left, right)]
            assert torch.equal(*kept)
    assert right["attention_mask"][:, 0].all() and left["attention_mask"][:, -1].all()
    processor.tokenizer.padding_side = "right"
    try:
        assert torch.equal(
            processor.apply_chat_template(two, **OUT, pad_to_multiple_of=8)["input_ids"], right["input_ids"]
        )
    finally:
        processor.tokenizer.padding_side = "left"


def test_truncation_never_cuts_an_image(processor: NeoOVProcessor) -> None:
    whole = processor.apply_chat_template(ask("many words " * 9, WIDE), **OUT)["input_ids"]
    cut = processor.apply_chat_template(ask("many words " * 9, WIDE), **OUT, truncation=True, max_length=30)
    assert torch.equal(cut["input_ids"], whole[:, :30]) and cut["mm_token_type_ids"].shape == (1, 30)
    visual = (whole[0] == processor.image_token_id).nonzero().squeeze(1)
    for limit in (int(visual[0]), int(visual[0]) + 1, int(visual[-1]) + 1):
        with pytest.raises(InputError, match="would cut an image in two"):
            processor.apply_chat_template(ask("words " * 9, WIDE), **OUT, truncation=True, max_length=limit)


@pytest.mark.parametrize("tensors", ["pt", None])
def test_assistant_masks_are_the_labels(processor: NeoOVProcessor, tensors: str | None) -> None:
    two = [ask("a", WIDE, answer="red it is"), ask("b", answer="no")]
    options = {**OUT, "return_tensors": tensors, "return_assistant_tokens_mask": True}
    masks = processor.apply_chat_template(two, **options)["assistant_masks"]
    encoded = [processor.encode(item) for item in two]
    expected = (processor.batch(encoded, with_labels=True)["labels"] != -100).long()
    assert torch.equal(torch.as_tensor(masks), expected)


def test_the_template_marks_the_assistants_words(processor: NeoOVProcessor) -> None:
    turns = ask("a", answer="red it is")
    found = processor.tokenizer.apply_chat_template(
        turns, chat_template=processor.chat_template, return_dict=True, return_assistant_tokens_mask=True
    )
    words = [token for token, mask in zip(found["input_ids"], found["assistant_masks"], strict=True) if mask]
    assert processor.tokenizer.decode(words) == "red it is<|im_end|>\n"


def test_a_chat_template_of_ones_own_is_used_and_saved(processor: NeoOVProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    mine = AutoProcessor.from_pretrained(tmp_path, chat_template=TEMPLATE)
    assert mine.apply_chat_template(ask("what?", WIDE)) == "user: <image>what?"
    inputs = mine.apply_chat_template(ask("what?", WIDE), **OUT)
    assert torch.equal(
        inputs["input_ids"], mine(text="user: <image>what?", images=WIDE, return_tensors="pt")["input_ids"]
    )
    mine.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert again.apply_chat_template(ask("what?", WIDE)) == "user: <image>what?"
    with pytest.raises(InputError, match=r"a message holds <\|im_end\|>"):
        again.apply_chat_template(ask("what<|im_end|>?"))
    assert processor.apply_chat_template(ask("b"), chat_template="{{ messages | length }}") == "1"


def test_chat_templates_by_name_and_the_older_file_are_loaded(processor: NeoOVProcessor, tmp_path: Path) -> None:
    named = NeoOVProcessor(
        processor.image_processor,
        processor.tokenizer,
        chat_template={"default": TEMPLATE, "count": "{{ messages | length }}"},
    )
    named.save_pretrained(tmp_path / "named")
    again = AutoProcessor.from_pretrained(tmp_path / "named")
    assert again.chat_template == named.chat_template
    assert again.apply_chat_template(ask("what?", WIDE)) == "user: <image>what?"
    assert again.apply_chat_template(ask("what?"), chat_template="count") == "1"
    again.chat_template = {"a": "1", "b": "2"}
    with pytest.raises(InputError, match="pass chat_template=a or b"):
        again.apply_chat_template(ask("what?"))
    processor.save_pretrained(tmp_path / "older")
    (tmp_path / "older" / "chat_template.jinja").unlink()
    (tmp_path / "older" / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    assert AutoProcessor.from_pretrained(tmp_path / "older").chat_template == TEMPLATE


def test_the_video_processor_is_a_view(processor: NeoOVProcessor) -> None:
    mine = copy.copy(processor)
    clip = [TALL, WIDE, TALL]
    expected = mine.apply_chat_template([{"role": "user", "content": [{"type": "video", "video": clip}]}], **OUT)
    for videos in (clip, [clip], [frames_to_video(clip)], np.stack([np.asarray(TALL)] * 3)):
        found = mine.video_processor(videos)
        assert found["image_grid_hw"].shape == (3, 2)
        if not isinstance(videos, np.ndarray):
            assert all(torch.equal(found[name], expected[name]) for name in mine.video_processor.model_input_names)
    mine.video_processor.fps, mine.video_processor.max_frames, mine.video_processor.max_pixels = 2, 3, 4096
    assert (mine.video_fps, mine.video_max_frames, mine.frame_max_pixels) == (2.0, 3, 4096)
    assert "video_processor" not in mine.to_dict()
    with pytest.raises(InputError, match="no video"):
        mine.video_processor([])
    with pytest.raises(InputError, match="unknown option size"):
        mine.video_processor(clip, size=3)


def test_parts_and_settings_given_in_loading_win(processor: NeoOVProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    tokenizer, images = AutoTokenizer.from_pretrained(tmp_path), NeoOVImageProcessor(max_pixels=65536)
    tokenizer.add_tokens(["<mine>"])
    mine = AutoProcessor.from_pretrained(tmp_path, tokenizer=tokenizer, image_processor=images)
    assert mine.tokenizer is tokenizer and mine.image_processor is images
    other = AutoProcessor.from_pretrained(
        tmp_path, padding_side="right", model_max_length=77, cls_token="<cls>", do_normalize=False
    )
    assert (other.tokenizer.padding_side, other.tokenizer.model_max_length) == ("right", 77)
    assert other.tokenizer.cls_token == "<cls>" and other.image_processor.do_normalize is False
    other.image_processor.save_pretrained(tmp_path / "images")
    assert NeoOVImageProcessor.from_pretrained(tmp_path / "images").do_normalize is False
    with pytest.raises(InputError, match="does not take max_pixel;"):
        AutoProcessor.from_pretrained(tmp_path, max_pixel=3)


def test_options_of_the_image_processor() -> None:
    images = NeoOVImageProcessor(min_pixels=1024, max_pixels=16384)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    plain = images(noise)["pixel_values"].reshape(-1, 3, 16, 16)
    mean, std = (torch.tensor(item)[:, None, None] for item in (images.image_mean, images.image_std))
    levels = images(noise, do_normalize=False)["pixel_values"].reshape(-1, 3, 16, 16)
    torch.testing.assert_close(levels, plain * std + mean)
    raw = images(noise, do_normalize=False, do_rescale=False)["pixel_values"]
    torch.testing.assert_close(raw, levels.reshape(raw.shape) * 255)
    assert torch.equal(
        NeoOVImageProcessor(do_normalize=False)(noise, max_pixels=4096)["pixel_values"], levels.reshape(raw.shape)
    )
    assert images(noise, patch_size=8)["pixel_values"].shape[1] == 3 * 64
    assert torch.equal(images(noise, do_resize=False)["pixel_values"], plain.reshape(raw.shape))
    for wrong in ({"size": {"height": 3, "width": 3}}, {"do_pad": True}, {"max_pixel": 3}, {"device": "cuda"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            images(noise, **wrong)
    with pytest.raises(InputError, match="multiples of 32"):
        images(noise.crop((0, 0, 40, 64)), do_resize=False)


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_videos_as_arrays(processor: NeoOVProcessor, kind: str) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    video = frames if kind == "array" else torch.from_numpy(frames).permute(0, 3, 1, 2)
    found = processor(text="<video>what?", videos=video, fps=2.0, return_tensors="pt")
    expected = processor(
        text="<video>what?", videos=[[Image.fromarray(frame) for frame in frames]], fps=2.0, return_tensors="pt"
    )
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    message = [{"role": "user", "content": [{"type": "video", "video": video}, {"type": "text", "text": "what?"}]}]
    assert processor.apply_chat_template(message, **OUT)["image_grid_hw"].shape == (3, 2)


def test_a_pipeline_answers_a_batch_as_one_by_one(tiny_model_dir: Path) -> None:
    pipe = pipeline("image-text-to-text", model=str(tiny_model_dir))
    chats = [ask("what?", WIDE), ask("a rather longer question?", TALL, WIDE), ask("and?", TALL)]
    answers = [pipe(text=chats, max_new_tokens=8, return_full_text=False, batch_size=size) for size in (1, 3)]
    texts = [[item[0]["generated_text"] for item in each] for each in answers]
    assert texts[0] == texts[1] and any(texts[0])


def test_the_grid_may_have_qwens_name(processor: NeoOVProcessor) -> None:
    expected = processor.apply_chat_template(ask("a", WIDE), **OUT)["image_grid_hw"]
    processor.grid_name = "image_grid_thw"
    try:
        found = processor.apply_chat_template(ask("a", WIDE), **OUT)
        arrays = processor.apply_chat_template(ask("a", WIDE), **{**OUT, "return_tensors": None})
    finally:
        del processor.grid_name
    assert "image_grid_hw" not in found and found["image_grid_thw"].tolist() == [[1, *expected[0].tolist()]]
    assert arrays["image_grid_thw"].tolist() == found["image_grid_thw"].tolist()

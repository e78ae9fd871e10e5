"""The processor behaves as transformers' users expect, and loads what released checkpoints hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor
from transformers.models.auto.image_processing_auto import AutoImageProcessor  # its home: see pixelword.processing

from pixelword.errors import CheckpointError, InputError, MediaError
from pixelword.processing import MediaOptions, NeoOVImageProcessor, NeoOVProcessor, Video

WIDE, TALL = Image.new("RGB", (96, 32), "red"), Image.new("RGB", (64, 64), "blue")


def ask(text: str, *images: Any) -> list[dict[str, Any]]:
    return [
        {
            "role": "user",
            "content": [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}],
        }
    ]


def test_what_the_model_is_given(processor: NeoOVProcessor) -> None:
    inputs = processor.apply_chat_template(
        ask("what?", WIDE), tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    assert set(inputs) == set(processor.model_input_names)
    assert inputs["input_ids"].dtype == inputs["image_grid_hw"].dtype == torch.int64
    assert inputs["pixel_values"].shape == (12, 768) and inputs["pixel_values"].dtype == torch.float32
    assert inputs["image_grid_hw"].tolist() == [[2, 6]]
    visual = inputs["input_ids"] == processor.image_token_id
    assert torch.equal(visual, inputs["mm_token_type_ids"] == 1) and int(visual.sum()) == 3


def test_a_batch_is_its_samples_padded_on_the_left(processor: NeoOVProcessor) -> None:
    clip = Video((WIDE, TALL), (0.0, 1.0), 2.0)
    video = [{"role": "user", "content": [{"type": "video", "video": clip}, {"type": "text", "text": "and this?"}]}]
    conversations = [ask("words alone"), ask("one", WIDE), ask("two", WIDE, TALL), video]
    how = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    batch = processor.apply_chat_template(conversations, padding=True, **how)
    patches, grids = [], []
    for row, conversation in enumerate(conversations):
        alone = processor.apply_chat_template(conversation, **how)
        length = alone["input_ids"].shape[1]
        assert torch.equal(batch["input_ids"][row, -length:], alone["input_ids"][0])
        assert torch.equal(batch["mm_token_type_ids"][row, -length:], alone["mm_token_type_ids"][0])
        assert batch["attention_mask"][row].tolist() == [0] * (len(batch["input_ids"][row]) - length) + [1] * length
        assert (batch["input_ids"][row, :-length] == processor.tokenizer.pad_token_id).all()
        patches.append(alone.get("pixel_values", torch.zeros(0, 768)))
        grids.append(alone.get("image_grid_hw", torch.zeros(0, 2, dtype=torch.int64)))
    assert torch.equal(batch["pixel_values"], torch.cat(patches))
    assert torch.equal(batch["image_grid_hw"], torch.cat(grids))


def test_words_alone_need_no_pictures(processor: NeoOVProcessor) -> None:
    inputs = processor.apply_chat_template(ask("hello"), tokenize=True, return_dict=True, return_tensors="pt")
    assert "pixel_values" not in inputs and "image_grid_hw" not in inputs
    encoded = processor.encode(ask("hello"))
    assert encoded.pixel_values.shape == (0, 768) and encoded.image_grid_hw.shape == (0, 2)


def test_encode_and_batch_agree_with_the_template(processor: NeoOVProcessor) -> None:
    samples = [processor.encode(ask("one", WIDE)), processor.encode(ask("two, longer", TALL))]
    batch = processor.batch(samples, with_labels=True)
    other = processor.apply_chat_template(
        [ask("one", WIDE), ask("two, longer", TALL)], tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert all(torch.equal(batch[name], other[name]) for name in other)
    assert batch["labels"].shape == batch["input_ids"].shape and (batch["labels"] == -100).all()
    with pytest.raises(InputError, match="no samples"):
        processor.batch([])


def test_other_containers_than_torch(processor: NeoOVProcessor) -> None:
    lists = processor.apply_chat_template(
        [ask("a"), ask("longer", WIDE)], tokenize=True, return_dict=True, padding=False
    )
    assert len(lists["input_ids"][0]) < len(lists["input_ids"][1])
    assert lists["pixel_values"].shape == (12, 768)
    arrays = processor.apply_chat_template(ask("a", WIDE), tokenize=True, return_dict=True, return_tensors="np")
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    assert processor.apply_chat_template(ask("a"), tokenize=True)[0] == lists["input_ids"][0]
    with pytest.raises(InputError, match="padding=True"):
        processor.apply_chat_template([ask("a"), ask("longer")], tokenize=True, return_tensors="pt", padding=False)
    padded = processor.apply_chat_template(
        ask("a"), tokenize=True, return_tensors="pt", padding="max_length", processor_kwargs={"max_length": 64}
    )
    assert padded.shape == (1, 64)


def test_call_deals_pictures_out_to_their_prompts(processor: NeoOVProcessor) -> None:
    text = ["<image>\nfirst", "second", "<image>\nand <image>\nthird"]
    flat = processor(text=text, images=[WIDE, TALL, WIDE], return_tensors="pt")
    nested = processor(text=text, images=[[WIDE], [], [TALL, WIDE]], return_tensors="pt")
    assert all(torch.equal(flat[name], nested[name]) for name in flat)
    assert flat["image_grid_hw"].tolist() == [[2, 6], [4, 4], [2, 6]]
    item = processor(WIDE, "<image>", return_tensors="pt")
    assert item["image_grid_hw"].tolist() == [[2, 6]]
    clip = Video((WIDE,), (0.0,), 1.0)
    filmed = processor(text="<video>what?", videos=clip, return_tensors="pt")
    assert "[00:00.00]:<img>" in processor.decode(filmed["input_ids"][0])


def test_budget_and_sharing(processor: NeoOVProcessor) -> None:
    large = Image.new("RGB", (512, 512))
    cells = 16_384 // 1024

    def tokens(*images: Any, **options: Any) -> list[int]:
        grids = processor.encode(ask("?", *images), **options).image_grid_hw
        return [int(rows * columns) // 4 for rows, columns in grids]

    assert tokens(large) == [cells]
    assert tokens(large, large) == [cells, cells]
    assert tokens(*[large] * 8) == [4] * 8
    assert tokens(large, max_pixels=4096) == [4]
    assert tokens(large, max_pixels=65_536) == [64]
    clip = Video((large,) * 8, tuple(map(float, range(8))), 8.0)
    film = [{"role": "user", "content": [{"type": "video", "video": clip}, {"type": "text", "text": "?"}]}]
    grids = processor.encode(film).image_grid_hw
    assert grids.tolist() == [[8, 8]] * 8  # frames have a cap of their own and do not share
    capped = NeoOVProcessor(
        NeoOVImageProcessor(min_pixels=1024, max_pixels=16_384), processor.tokenizer, frame_max_pixels=4096
    )
    assert capped.encode(film).image_grid_hw.tolist() == [[4, 4]] * 8


def test_tokens_are_counted_without_decoding(processor: NeoOVProcessor) -> None:
    for size in ((96, 32), (500, 300), (33, 900), (1, 1)):
        image = Image.new("RGB", size)
        counted = processor.image_tokens(image.height, image.width)
        encoded = processor.encode(ask("?", image))
        assert int((encoded.mm_token_type_ids == 1).sum()) == counted
        planned = processor._get_num_multimodal_tokens(image_sizes=[(image.height, image.width)])
        assert (planned["num_image_tokens"], planned["num_image_patches"]) == ([counted], [counted * 4])
    pictures = processor.image_processor([WIDE, TALL])
    assert processor.replace_image_token(pictures, 1) == "<img>" + "<IMG_CONTEXT>" * 4 + "</img>"


def test_video_files_are_sampled_as_asked(processor: NeoOVProcessor, make_video: Callable[..., Path]) -> None:
    path = make_video("a.mp4", range(0, 4000, 100))
    part = {"type": "video", "video": str(path)}
    film = [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}]
    assert len(processor.encode(film).image_grid_hw) == 4
    assert len(processor.encode(film, num_frames=2).image_grid_hw) == 2
    assert len(processor.encode(film, media=MediaOptions(num_frames=2)).image_grid_hw) == 2
    assert len(processor.encode(film, media=MediaOptions(num_frames=2), num_frames=3).image_grid_hw) == 3
    part["fps"] = 2
    assert len(processor.encode(film, fps=1).image_grid_hw) == 8
    slow = NeoOVProcessor(processor.image_processor, processor.tokenizer, video_fps=5, video_max_frames=3)
    del part["fps"]
    assert len(slow.encode(film).image_grid_hw) == 3


def test_openai_parts_and_forbidden_places(processor: NeoOVProcessor, tmp_path: Path) -> None:
    WIDE.save(tmp_path / "a.png")
    import base64

    url = "data:image/png;base64," + base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    message = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    assert processor.encode(message, allow_files=False).image_grid_hw.tolist() == [[2, 6]]
    with pytest.raises(MediaError, match="files are not opened"):
        processor.encode(ask("?", str(tmp_path / "a.png")), allow_files=False)
    with pytest.raises(MediaError, match="URLs are off"):
        processor.encode(ask("?", "http://example.com/a.png"))


def test_unknown_and_impossible_options_are_refused(processor: NeoOVProcessor) -> None:
    with pytest.raises(InputError, match="unknown option max_pixel;"):
        processor.encode(ask("?"), max_pixel=5)
    with pytest.raises(InputError, match="no text"):
        processor(images=WIDE)


def test_answers_are_decoded(processor: NeoOVProcessor) -> None:
    ids = processor.tokenizer("a fox<|im_end|>", return_tensors="pt")["input_ids"]
    assert processor.post_process_image_text_to_text(ids) == ["a fox"]
    assert processor.post_process_image_text_to_text(ids[0]) == ["a fox"]
    assert processor.batch_decode(ids, skip_special_tokens=True) == ["a fox"]
    assert processor.decode(ids[0], skip_special_tokens=True) == "a fox"


def test_saving_and_loading_gives_the_same_inputs(processor: NeoOVProcessor, tmp_path: Path) -> None:
    slow = NeoOVProcessor(processor.image_processor, processor.tokenizer, video_fps=2.5, video_max_frames=7)
    slow.save_pretrained(tmp_path)
    assert (tmp_path / "chat_template.jinja").read_text() == slow.chat_template
    again = NeoOVProcessor.from_pretrained(tmp_path)
    assert (again.video_fps, again.video_max_frames, again.frame_max_pixels) == (2.5, 7, 360 * 640)
    assert again.image_processor.max_pixels == processor.image_processor.max_pixels
    messages = [*ask("where?", WIDE, TALL), {"role": "assistant", "content": "<ref>there</ref>"}]
    first, second = slow.encode(messages), again.encode(messages)
    tensors = [name for name, value in vars(first).items() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 5 and first.images == second.images
    assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in tensors)
    assert NeoOVProcessor.from_pretrained(tmp_path, max_pixels=2048).image_processor.max_pixels == 2048


def released(folder: Path, processor: NeoOVProcessor, **changes: Any) -> Path:
    """A folder as released: the model's configuration and the tokenizer, nothing of a processor."""
    processor.tokenizer.save_pretrained(folder)
    vision = {"patch_size": 16, "min_pixels": [1024], "max_pixels": [8192], "downsample_ratio": [0.5]}
    config = {"model_type": "neo_chat", "vision_config": vision, "downsample_ratio": 0.5, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_released_folder_without_processor_files(processor: NeoOVProcessor, tmp_path: Path) -> None:
    loaded = NeoOVProcessor.from_pretrained(released(tmp_path, processor))
    image = loaded.image_processor
    assert (image.min_pixels, image.max_pixels, image.patch_size, image.merge_size) == (1024, 8192, 16, 2)
    (tmp_path / "preprocessor_config.json").write_text('{"crop_size": 448, "image_mean": [0.1, 0.1, 0.1]}')
    assert NeoOVProcessor.from_pretrained(tmp_path).image_processor.image_mean == (0.485, 0.456, 0.406)


def test_auto_classes_find_the_processors(processor: NeoOVProcessor, tmp_path: Path) -> None:
    assert type(AutoProcessor.from_pretrained(released(tmp_path, processor))) is NeoOVProcessor
    processor.save_pretrained(tmp_path)
    assert type(AutoProcessor.from_pretrained(tmp_path)) is NeoOVProcessor
    assert type(AutoImageProcessor.from_pretrained(tmp_path)) is NeoOVImageProcessor


@pytest.mark.parametrize("trust", [False, True])
def test_code_in_a_checkpoint_is_never_run(trust: bool, processor: NeoOVProcessor, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    released(folder, processor)
    witness = tmp_path / "it-ran"
    (folder / "evil.py").write_text(f"open({str(witness)!r}, 'w').write('x')\nclass Evil:\n    pass\n")
    auto_map = {"AutoConfig": "evil.Evil", "AutoProcessor": "evil.Evil", "AutoImageProcessor": "evil.Evil"}
    for name in ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json"):
        path = folder / name
        content = json.loads(path.read_text()) if path.exists() else {}
        tokenizer_map = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]} if name == "tokenizer_config.json" else {}
        path.write_text(json.dumps({**content, "auto_map": {**auto_map, **tokenizer_map}}))
    for load in (NeoOVProcessor.from_pretrained, AutoProcessor.from_pretrained):
        try:
            loaded = load(folder, trust_remote_code=trust)
            assert type(loaded) is NeoOVProcessor
        except CheckpointError as error:  # refusing is as good as ignoring
            assert "\n" not in str(error)
        assert not witness.exists()


def test_unusable_folders_each_give_one_clear_line(processor: NeoOVProcessor, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        NeoOVProcessor.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"no processor_config\.json and no config\.json"):
        NeoOVProcessor.from_pretrained(tmp_path)
    whole = tmp_path / "whole"
    whole.mkdir()
    released(whole, processor)
    broken = shutil.copytree(whole, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        NeoOVProcessor.from_pretrained(broken)
    (whole / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="tokenizer") as caught:
        NeoOVProcessor.from_pretrained(whole)
    assert "\n" not in str(caught.value)

"""Nothing trains without its image: what a sample means as one is read, or the sample is a fault by name."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixelword.data.conversations import messages_of
from pixelword.data.recipe import SourceRecipe
from pixelword.data.sources import Source, open_source
from pixelword.errors import InputError
from pixelword.processing.images import load_image

ANSWER = {"role": "assistant", "content": "A cat."}


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text, **more}, ANSWER]}


def read(values: dict[str, Any]) -> Any:
    return messages_of(values, lambda written: f"<{written}>")[0]["content"]


@pytest.mark.parametrize("form", ["messages", "conversations"])
def test_qwen_vls_images_in_the_text_are_read(form: str) -> None:
    turns = [
        {"from": "user", "value": "Picture 1: <img>a.png</img>\nPicture 2: <img>b.png</img>\nAlike?"},
        {"from": "assistant", "value": "No."},
    ]
    if form == "messages":
        turns = [{"role": turn["from"], "content": turn["value"]} for turn in turns]
    assert [part.get("image") or part.get("text") for part in read({form: turns})] == [
        "Picture 1: ", "<a.png>", "Picture 2: ", "<b.png>", "Alike?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"caption": "Two cats."}, "a caption without an image"),
        ({"text": "Two cats.", "file_name": "a.png"}, "'file_name' looks like one"),
        ({"text": "Two cats.", "image_path": "a"}, "'image_path' looks like one"),
        ({"text": "Two cats.", "jpg": {"bytes": b"x"}}, "'jpg' looks like one"),
        ({"text": "Two cats.", "url": "https://example.com/a.jpg?w=3"}, "'url' looks like one"),
        (asked("<image>\nWhat?"), "'<image>' in its text"),
        (asked("What is it? <image>"), "'<image>' in its text"),
        (asked("<|vision_start|><|image_pad|><|vision_end|>What?"), "in its text"),
        (asked("See <image 1>."), "'<image 1>' in its text"),
        (asked("What?", images=["a.png"]), "turn 1 has 'images' beside its text"),
        (
            {"conversations": [{"from": "human", "value": "Draw."}, {"from": "gpt", "value": "<img>a.png</img>"}]},
            "message 2",
        ),
    ],
)
def test_an_image_that_would_not_be_read_is_a_fault(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        read(values)
    assert told in str(refused.value)


def test_texts_that_only_speak_of_images_stay_texts() -> None:
    for values in (
        asked("What does <image> mean in HTML, and <img src=x>?"),
        {**asked("Hello"), "id": "12", "source": "page.html", "image_id": "0001", "width": 3},
        {"text": "Once upon a time.", "url": "https://example.com/page.html"},
    ):
        assert messages_of(values, str)


def encoded(format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, format)
    return file.getvalue()


@pytest.fixture
def tar(tmp_path: Path) -> Callable[[dict[str, bytes]], Source]:
    def write(members: dict[str, bytes]) -> Source:
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for name, data in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        return open_source("s", SourceRecipe(path=str(tmp_path / "a.tar")), None)

    return write


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "PNG", "apng", "pgm", "ico", "tga", "j2k"])
def test_every_suffix_that_pillow_reads_is_an_image_of_a_tar(tar: Callable[..., Source], suffix: str) -> None:
    source = tar({f"1.{suffix}": encoded("JPEG"), "1.txt": b"red"})
    (part,) = source.read(0).messages[0]["content"]
    assert load_image(part["image"]).size == (8, 8)


def test_suffixes_cover_what_pillow_reads() -> None:
    from pixelword.processing.image_files import FORMATS, SUFFIXES

    Image.init()
    known = {suffix[1:] for suffix, format in Image.registered_extensions().items() if format in FORMATS}
    assert known <= {*SUFFIXES}


@pytest.mark.parametrize("suffix", ["heic", "npy", "xyz", "jpgg"])
def test_an_unknown_file_in_a_tar_is_a_fault_by_name(tar: Callable[..., Source], suffix: str) -> None:
    source = tar({f"1.{suffix}": b"x", "1.txt": b"red", "2.png": encoded("PNG"), "2.txt": b"red"})
    with pytest.raises(InputError, match=rf"a\.tar:1: 1\.{suffix}: files that end in \.{suffix} are not read"):
        source.read(0)
    assert source.read(1).messages


def test_members_of_one_sample_need_not_follow_each_other(tar: Callable[..., Source]) -> None:
    source = tar({"1.png": encoded("PNG"), "2.png": encoded("PNG"), "1.txt": b"one", "2.txt": b"two"})
    assert [source.read(i).messages[-1]["content"] for i in range(len(source))] == ["one", "two"]
    assert all(source.read(i).messages[0]["content"][0]["type"] == "image" for i in range(2))


def test_an_empty_image_in_the_json_of_a_tar_takes_the_file_beside(tar: Callable[..., Source]) -> None:
    for empty in (None, "", []):
        values = {
            "image": empty,
            "conversations": [{"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "Red."}],
        }
        source = tar({"1.png": encoded("PNG"), "1.json": json.dumps(values).encode()})
        assert source.read(0).messages[0]["content"][0]["type"] == "image"
    parts = [{"type": "image", "image": "1.png"}, {"type": "text", "text": "What?"}]
    values = {"messages": [{"role": "user", "content": parts}, ANSWER]}
    assert tar({"1.png": encoded("PNG"), "1.json": json.dumps(values).encode()}).read(0).messages


def test_file_urls_and_bare_base64_in_data_files(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(encoded("PNG"))
    noise = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(noise, "PNG")
    texts = [(tmp_path / "a b.png").as_uri(), "file://a%20b.png", base64.b64encode(noise.getvalue()).decode()]
    lines = [json.dumps({"image": text, "caption": "red"}) for text in texts]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = open_source("s", SourceRecipe(path=str(tmp_path / "a.jsonl")), None)
    sizes = [load_image(source.read(i).messages[0]["content"][0]["image"]).size for i in range(3)]
    assert sizes == [(8, 8), (8, 8), (64, 64)]

"""The page of packs and samples tells what the model is given: pixels, tokens, labels, weights, visibility."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelword.data.packing.packer import Packer
from pixelword.data.types import Fault, Pack
from pixelword.data.view import Sheet, describe, pack_sheet, page, sample_sheet, write_page
from pixelword.errors import InputError
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.types import Sample
from pixelword.processing.videos import Video


@pytest.fixture(scope="module")
def processor(tiny_tokenizer: Any) -> NeoOVProcessor:
    return NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=16384), tiny_tokenizer)


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def asked(*parts: Any, answer: str = "yes") -> Sample:
    """A question of these pictures and words, and its answer."""
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "video" if isinstance(part, Video) else "image", "video": part, "image": part}
        for part in parts
    ]
    return Sample(({"role": "user", "content": content}, {"role": "assistant", "content": answer}), "test")


def told(sheet: Sheet, processor: NeoOVProcessor) -> dict[str, Any]:
    """The sheet as the page's script gets it, through the page itself."""
    html = page("title", {}, [sheet], processor)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    return {**data["sheets"][0], "pieces": data["pieces"], "control": data["control"]}


def pixels(src: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(src.removeprefix("data:image/png;base64,")))))


def test_pictures_are_rebuilt_to_the_pixel(processor: NeoOVProcessor) -> None:
    first, second = picture(64, 32), picture(96, 64)
    (row,) = told(sample_sheet(asked(first, second, "same?"), "one", "test", processor), processor)["rows"]
    (document,) = row["documents"]
    shown = document["pictures"]
    assert [(item["rows"], item["columns"]) for item in shown] == [(1, 2), (2, 3)]
    for item, original in zip(shown, (first, second), strict=True):
        assert np.array_equal(pixels(item["src"]), np.asarray(original))
        assert row["types"][item["start"]] == 1 and row["types"][item["start"] - 1] == 0


def test_tokens_labels_and_weights_are_those_of_the_sample(processor: NeoOVProcessor) -> None:
    sample = asked(picture(64, 64), "how many?", answer="two")
    data = told(sample_sheet(sample, "one", "test", processor, loss_weight="sample"), processor)
    (row,) = data["rows"]
    encoded = processor.encode(sample.messages)
    assert row["ids"] == encoded.input_ids.tolist()
    assert row["labels"] == encoded.labels.tolist()
    learnt = [data["pieces"][str(token)] for token, label in zip(row["ids"], row["labels"], strict=True) if label >= 0]
    assert "".join(learnt) == "two<|im_end|>\n"
    assert {weight for weight, label in zip(row["weights"], row["labels"], strict=True) if label >= 0} == {0.2}
    assert data["facts"]["learnt"] == 5 and data["facts"]["weight"] == 1.0
    assert processor.encoder.control["<img>"] in data["control"] and row["ids"][-1] not in data["control"]


def packed(processor: NeoOVProcessor) -> Pack:
    packer = Packer(2, 160, processor.tokenizer.pad_token_id)
    samples = {
        "a": asked(picture(64, 64), "what?"),
        "b": asked(picture(32, 64), "or", picture(64, 32), "which?", answer="the second"),
        "c": asked("only words"),
        "d": asked(Video((picture(32, 32), picture(32, 32)), (), 0.0), "moves?"),
    }
    for name, sample in samples.items():
        assert packer.add(processor.encode(sample.messages), name)
    return packer.pack()


def test_every_query_sees_its_document_so_far_and_its_own_picture(processor: NeoOVProcessor) -> None:
    data = told(pack_sheet(packed(processor), 3), processor)
    assert data["title"] == "pack 3"
    for row in data["rows"]:
        for document in row["documents"]:
            own = [
                range(item["start"], item["start"] + item["rows"] * item["columns"]) for item in document["pictures"]
            ]
            for query in range(document["start"], document["stop"]):
                inside = [place for place in own if query in place]
                last = inside[0][-1] if inside else query
                assert (row["lo"][query], row["hi"][query]) == (document["start"], last)
        assert row["documents"][0]["start"] == 0 and row["documents"][-1]["stop"] == 160
    names = [item["name"] for row in data["rows"] for item in row["documents"] if not item["padding"]]
    assert sorted(names) == ["a", "b", "c", "d"]
    assert sum(item["pairs"] for row in data["rows"] for item in row["documents"]) == data["facts"]["pairs"]


def test_positions_are_native_rope(processor: NeoOVProcessor) -> None:
    (row,) = told(sample_sheet(asked(picture(64, 64), "?"), "one", "test", processor), processor)["rows"]
    start = row["documents"][0]["pictures"][0]["start"]
    cells = slice(start, start + 4)
    assert len(set(row["t"][cells])) == 1
    assert list(zip(row["h"][cells], row["w"][cells], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert row["t"][start + 4] == row["t"][start] + 1 and row["h"][start + 4] == 0


def test_what_cannot_be_encoded_is_shown_with_its_reason(processor: NeoOVProcessor, tmp_path: Path) -> None:
    sheet = sample_sheet(asked(str(tmp_path / "gone.png"), "?"), "captions.jsonl:17", "captions", processor)
    assert sheet.pack is not None, "a string is words"
    missing = Sample(({"role": "user", "content": [{"type": "image", "image": str(tmp_path / "gone.png")}]},), "test")
    data = told(sample_sheet(missing, "captions.jsonl:17", "captions", processor), processor)
    assert data["rows"] == []
    assert data["faults"][0][0] == "captions.jsonl:17" and "gone.png" in data["faults"][0][1]
    assert data["said"] == [["user", f"[image: {tmp_path / 'gone.png'}]\n"]]


def test_faults_of_a_pack_are_on_its_sheet(processor: NeoOVProcessor) -> None:
    packer = Packer(1, 32, processor.tokenizer.pad_token_id)
    pack = Pack(**{**vars(packer.pack()), "faults": (Fault("x.jsonl:2", "not an image"),)})
    assert describe(pack_sheet(pack, 0), processor)["faults"] == [["x.jsonl:2", "not an image"]]


def test_words_of_a_sample_are_no_markup(processor: NeoOVProcessor) -> None:
    hostile = "</script><script>alert(1)</script><img src=http://example.org/x onerror=alert(2)>"
    sheet = sample_sheet(asked(hostile), hostile, "test", processor)
    html = page(hostile, {"stage": hostile}, [sheet], processor)
    assert hostile not in html and "<img src" not in html
    assert html.count("</script>") == 2, "the page's own two"
    assert told(sheet, processor)["said"][0] == ["user", hostile]


def test_a_token_that_is_half_a_character_keeps_its_name(processor: NeoOVProcessor) -> None:
    data = told(sample_sheet(asked("é"), "one", "test", processor), processor)
    assert {"Ã", "©"} <= set(data["pieces"].values())


def test_a_page_of_nothing_and_a_folder_in_its_place_are_errors(processor: NeoOVProcessor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no packs and no samples"):
        page("title", {}, [], processor)
    taken = tmp_path / "view.html"
    taken.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_page(taken, "title", {}, [sample_sheet(asked("a"), "one", "test", processor)], processor)
    assert list(tmp_path.iterdir()) == [taken], "nothing half-written is left"

"""Questions about real pictures: well formed, answered by themselves, and asked of the packs that hold the pictures."""

from __future__ import annotations

import io
import json
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from pixelword.errors import AssetError
from pixelword.evaluation.scores import boxes
from pixelword.evaluation.suite import chosen
from pixelword.evaluation.types import frames
from pixelword.synthetic.assets import Assets, write_pack
from pixelword_lab.suites import real

PAGES = {
    name: json.loads(resources.files(real).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    for name in ("photos", "clips")
}


def png(size: tuple[int, int], colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    """Stand-ins of the packs: plain pictures under the true keys."""
    photos = [({"key": page["key"], "file": page["key"]}, {page["key"]: png((700, 100))}) for page in PAGES["photos"]]
    write_pack(tmp_path / "photos.zip", photos, licences={})
    digits = [({"key": f"{n}/0", "label": str(n), "file": f"{n}.png"}, {f"{n}.png": png((20, 20))}) for n in range(10)]
    write_pack(tmp_path / "digits.zip", digits, licences={})
    square = png((64, 64))
    asked = [["is there a circle?", "yes"], ["what color is the shape?", "teal"], ["what shape is present?", "circle"]]
    vqa = [
        ({"key": f"{split}/0", "split": split, "file": f"{split}.png", "questions": asked}, {f"{split}.png": square})
        for split in ("train", "test")
    ]
    write_pack(tmp_path / "easyvqa.zip", vqa, licences={})
    return Assets(tmp_path)


def test_there_are_enough_questions_and_each_is_well_formed() -> None:
    asked = [question for pages in PAGES.values() for page in pages for question in page["questions"]]
    assert len(asked) >= 60
    for item in asked:
        assert item["question"].strip() == item["question"] and item["question"][-1] in "?."
        assert item["answers"] and all(answer.strip() == answer != "" for answer in item["answers"])
        assert item.keys() <= {"kind", "question", "answers", "metric", "choices", "absent"}
        assert not item.get("absent") or item["answers"] == ["no"]
        for x1, y1, x2, y2 in boxes(item["answers"][0]) if item.get("metric") == "box" else ():
            assert 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000
    for pages in PAGES.values():
        assert len({page["key"] for page in pages}) == len(pages)
    answers = Counter(item["answers"][0] for item in asked if item["kind"] == "yes or no")
    assert 0.35 < answers["yes"] / (answers["yes"] + answers["no"]) < 0.65  # no use in always saying yes


def test_photographs_are_asked_about_and_made_small(assets: Assets) -> None:
    (test,) = chosen(["real"], ["photos"], assets)
    items = test.items(None, 0)
    assert len(items) == sum(len(page["questions"]) for page in PAGES["photos"])
    assert len({item.key for item in items}) == len(items)
    assert all(item.score(answer).right for item in items for answer in item.accepted)
    assert {frame.size for frame in frames(items[0].media)} == {(512, 73)}


def test_packaged_sets_keep_their_own_split_and_kinds(assets: Assets) -> None:
    vqa, digits = chosen(["real"], ["easy-vqa", "digits"], assets)
    items = vqa.items(None, 0)
    assert [(item.key, item.question.kind) for item in items] == [
        ("easy-vqa/test/0/0", "yes or no"), ("easy-vqa/test/0/1", "colour"), ("easy-vqa/test/0/2", "shape"),
    ]  # fmt: skip
    assert all(item.question.answer in item.question.choices for item in items)
    few = digits.items(4, 0)
    assert len(few) == 4 and few != digits.items(4, 1) and [i.key for i in few] == [i.key for i in digits.items(4, 0)]
    assert all(item.key == f"digits/{item.question.answer}/0" for item in few)


def test_missing_packs_and_pictures_say_what_brings_them(tmp_path: Path) -> None:
    for test in chosen(["real"], assets=Assets(tmp_path)):
        with pytest.raises(AssetError, match="pixelword tasks fetch"):
            test.items(None, 0)
    write_pack(tmp_path / "photos.zip", [], licences={})
    (photos,) = chosen(["real"], ["photos"], Assets(tmp_path))
    with pytest.raises(AssetError, match="has no 'astronaut', which photos asks about"):
        photos.items(None, 0)


@pytest.mark.parametrize("name", ["easy-vqa", "digits", "photos", "clips"])
def test_the_packages_hold_what_is_asked(name: str) -> None:
    assets, pack = Assets(), {"easy-vqa": "easyvqa"}.get(name, name)
    if not assets.has(pack):
        pytest.skip(f"needs the asset pack {pack}: pixelword tasks fetch {pack}")
    (test,) = chosen(["real"], [name], assets)
    items = test.items(None if name in PAGES else 50, 0)
    assert len(items) >= 29
    assert all(item.score(item.question.answer).right for item in items)
    assert all(max(frame.size) <= 512 for item in items for frame in frames(item.media))

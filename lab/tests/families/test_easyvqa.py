"""easy-VQA as something to learn from: its own pictures, split and answers, and no question that another one tells."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from pixelword.errors import AssetError
from pixelword.synthetic.assets import Assets, write_pack
from pixelword_lab.families.easyvqa import ANSWERS, FAMILY
from pixelword_lab.family import draw
from pixelword_lab.suites.held_out import held_out

ASKED = [
    ["what is the red shape?", "circle"], ["what color is the shape?", "red"],
    ["is there not a black shape in the image?", "yes"], ["is a triangle present?", "no"],
    ["what is the color of the circle?", "red"],
    ["what shape is present?", "circle"],
]  # fmt: skip


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    folder = tmp_path_factory.mktemp("easy")
    items = []
    for number in range(6):
        split = "test" if number % 3 == 0 else "train"
        file = io.BytesIO()
        Image.new("RGB", (64, 64), (40 * number, 0, 0)).save(file, "PNG")
        item = {"key": f"{split}/{number}", "split": split, "file": f"{number}.png", "questions": ASKED}
        items.append((item, {f"{number}.png": file.getvalue()}))
    write_pack(folder / "easyvqa.zip", items, licences={"drawn here": "CC0"})
    return Assets(folder)


def test_its_own_split_questions_and_answers(assets: Assets) -> None:
    kinds = set()
    for split in ("train", "test"):
        for seed in range(40):
            task = draw("easyvqa", seed, split, assets)
            assert task.assets[0].startswith(f"easyvqa:{split}/")
            number = int(task.assets[0].rpartition("/")[2])
            assert task.media[0]["image"].getpixel((0, 0)) == (40 * number, 0, 0)
            for question in task.questions:
                assert [question.question, question.answer] in ASKED and question.answer in question.choices == ANSWERS[
                    question.kind
                ]
                kinds.add(question.kind)
    assert kinds == set(FAMILY.kinds)
    assert draw("easyvqa", 3, "train", assets).questions == draw("easyvqa", 3, "train", Assets(assets.folder)).questions


def test_no_question_tells_what_a_later_one_asks(assets: Assets) -> None:
    for seed in range(80):
        told: set[str] = set()
        for question in draw("easyvqa", seed, "train", assets).questions:
            said = {
                kind for kind in ("shape", "colour") if set(ANSWERS[kind]) & set(question.question.rstrip("?").split())
            }
            asks = said if question.kind == "yes or no" else {question.kind}
            assert not asks & told
            told |= asks | said


def test_its_test_split_is_asked_by_the_real_suite_alone(assets: Assets) -> None:
    assert FAMILY.suite == "real" and "easyvqa" not in {test.name for test in held_out(assets)}
    with pytest.raises(AssetError, match="pixelword tasks fetch easyvqa"):
        draw("easyvqa", 0, "train", Assets(assets.folder / "none"))

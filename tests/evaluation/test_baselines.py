"""The reader of text beside a model: it reads lines that are cut out for it, and whole pictures, and nothing else."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw, ImageFont

from pixelword.evaluation.baselines import RapidOCR, named
from pixelword.evaluation.types import Item
from pixelword.synthetic.types import Box, Question

LINES = {"Reading is easy": (20.0, 30.0), "7 apples": (20.0, 90.0)}


@pytest.fixture(scope="module")
def reader() -> RapidOCR:
    pytest.importorskip("rapidocr_onnxruntime", reason='needs RapidOCR: pip install "pixelword[eval]"')
    (found,) = named(["rapidocr"])
    assert isinstance(found, RapidOCR)
    return found


@pytest.fixture(scope="module")
def page() -> tuple[Image.Image, dict[str, Box]]:
    picture = Image.new("RGB", (360, 140), "white")
    draw, font, boxes = ImageDraw.Draw(picture), ImageFont.load_default(32), {}
    for text, place in LINES.items():
        draw.text(place, text, fill="black", font=font)
        boxes[text] = draw.textbbox(place, text, font=font)
    return picture, boxes


def asked(picture: Image.Image, answer: str, *boxes: Box, metric: str = "words") -> Item:
    question = Question("line", "What does it say?", answer, metric, boxes=tuple((0, box) for box in boxes))  # type: ignore[arg-type]
    return Item("page/0", "page", "text in pictures", ({"type": "image", "image": picture},), question)


def test_it_reads_the_lines_that_an_answer_rests_on(reader: RapidOCR, page: tuple[Image.Image, dict[str, Box]]) -> None:
    picture, boxes = page
    for text, box in boxes.items():
        said = reader.answer(asked(picture, text, box))
        assert said is not None and said.answer == text and said.sure > 0.8
    both = reader.answer(asked(picture, " ".join(LINES), *boxes.values()))
    assert both is not None and both.answer == " ".join(LINES)


def test_it_finds_the_lines_where_no_box_says_where(reader: RapidOCR, page: tuple[Image.Image, dict[str, Box]]) -> None:
    said = reader.answer(asked(page[0], " ".join(LINES)))
    assert said is not None and said.answer.split() == " ".join(LINES).split()
    nothing = reader.answer(asked(Image.new("RGB", (64, 64), "white"), "x"))
    assert nothing is not None and (nothing.answer, nothing.sure) == ("", 0.0)


def test_it_is_asked_for_texts_in_one_picture_alone(reader: RapidOCR, page: tuple[Image.Image, dict[str, Box]]) -> None:
    assert reader.answer(asked(page[0], "2", metric="number")) is None
    item = asked(page[0], "a")
    assert reader.answer(Item(item.key, item.test, item.category, (*item.media, *item.media), item.question)) is None

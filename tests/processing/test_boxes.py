"""Places in answers: however they are written, and back to the sender's pixels exactly."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pixelword.processing import NeoOVProcessor
from pixelword.processing.boxes import Mark, boxed, grounded, marks, places
from pixelword.processing.images import load_image
from pixelword.processing.types import Cutout, Origin, Video

SIDE = st.integers(1, 5000)


def shapes(text: str) -> list[tuple[str, tuple[float, ...]]]:
    return [(mark.label, mark.numbers) for mark in marks(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<ref>a cup</ref><box>[[1, 2, 30, 40]]</box>", [("a cup", (1, 2, 30, 40))]),
        ("<ref>cups</ref><box>[[1,2,3,4],[5,6,7,8]]</box>", [("cups", (1, 2, 3, 4)), ("cups", (5, 6, 7, 8))]),
        ("<ref>a</ref> <box>[[1,2,3,4]]</box><box>[5,6,7,8]</box>", [("a", (1, 2, 3, 4)), ("a", (5, 6, 7, 8))]),
        ("<ref>a</ref>\n<box>1, 2, 3, 4</box>", [("a", (1, 2, 3, 4))]),
        ("<ref>a</ref><box>(1,2),(3,4)</box>", [("a", (1, 2, 3, 4))]),
        ("<ref>a</ref><point>[[7, 8]]</point>", [("a", (7, 8))]),
        ("<ref>a</ref><box>[[7, 8]]</box>", [("a", (7, 8))]),
        ("<ref>a</ref><quad>[[1,2],[9,1],[8,7],[0,6]]</quad>", [("a", (0, 1, 9, 7))]),
        ("<ref>a</ref><quad>[[1,2,9,1,8,7,0,6]]</quad>", [("a", (0, 1, 9, 7))]),
        ("<ref>a</ref><box>[[30, 40, 1, 2]]</box>", [("a", (1, 2, 30, 40))]),
        ("<ref>a</ref><box>[[-5, 0, 1200, 999.5]]</box>", [("a", (0, 0, 1000, 999.5))]),
        ("<ref>a</ref><box>[[1,2,3,4]]</box>. Then <box>[[5,6,7,8]]</box>", [("a", (1, 2, 3, 4)), ("", (5, 6, 7, 8))]),
        ("<think><box>[[1,2,3,4]]</box></think><box>[[5,6,7,8]]</box>", [("", (5, 6, 7, 8))]),
        ('{"objects": [{"label": "a", "box": [1, 2, 3, 4]}, {"label": "b", "point": [5, 6]}]}',
         [("a", (1, 2, 3, 4)), ("b", (5, 6))]),
        ('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]\n```', [("a", (1, 2, 3, 4))]),
        ('{"objects": [{"label": "a", "box": [1, 2, 3, 4]}, {"label": "b", "box": [1, 2, 5, 6]}, {"label": "c", "bo',
         [("a", (1, 2, 3, 4)), ("b", (1, 2, 5, 6))]),
        ('{"objects": [{"label": "a", "box": [1, 2]}, {"box": [1, "2", 3, 4]}, {"box": [1, 2, NaN, 4]}]}', []),
        (r'{"label": "a\ud800", "box": [1, 2, 3, 4]}', [("a?", (1, 2, 3, 4))]),
        ("<ref>a</ref><box>[[1, 2, 3]]</box>", []),
        ("<ref>a</ref><box>[[1, 2, 1, 4]]</box>", []),
        ("<ref>a</ref><box>[[1, 2, 3, 4]]", []),
        ("<box></box><box>[[]]</box><quad>[[1,2]]</quad><ref></ref>", []),
        ("[[1, 2, 3, 4]] is a matrix", []),
        ("", []),
    ],
)  # fmt: skip
def test_all_forms_of_a_place_are_read(text: str, found: list[Any]) -> None:
    assert shapes(text) == found


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["<ref>", "</ref>", "<box>", "</box>", "[", "]", "[[1,2,3,4]]", "9", ",", "image 2",
    "[00:01.00]", "frame 1", ". ", "\n", "{", "}", '"box":', "<point>", "</point>", "<think>", "é", "1e999", "-"]),
    max_size=30).map("".join) | st.text(max_size=60))  # fmt: skip
def test_no_text_raises(text: str) -> None:
    for mark in marks(text):
        assert len(mark.numbers) in (2, 4) and all(0 <= number <= 1000 for number in mark.numbers)
        if len(mark.numbers) == 4:
            assert mark.numbers[0] < mark.numbers[2] and mark.numbers[1] < mark.numbers[3]


def test_what_is_written_is_read() -> None:
    text = grounded("red cup", (10, 20, 60, 80), (100, 200))
    assert text == "<ref>red cup</ref>" + boxed((10, 20, 60, 80), (100, 200))
    assert marks(text) == [Mark("red cup", (100, 100, 600, 400))]


@st.composite
def origins(draw: st.DrawFn) -> Origin:
    width, height = draw(SIDE), draw(SIDE)
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    box = (left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))
    return Origin(0, (width, height), box, (draw(st.integers(1, 40)) * 32, draw(st.integers(1, 40)) * 32))


@settings(deadline=None)
@given(origins(), st.floats(0, 1), st.floats(0, 1))
def test_pixels_and_thousandths_are_each_others_inverse(origin: Origin, across: float, down: float) -> None:
    left, top, right, bottom = origin.box
    point = left + across * (right - left), top + down * (bottom - top)
    assert origin.to_sent(*origin.to_thousandths(*point)) == pytest.approx(point, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(40, 1000), st.integers(40, 1000), st.data())
def test_a_written_box_comes_back_within_a_pixel(
    small_processor: NeoOVProcessor, width: int, height: int, data: st.DataObject
) -> None:
    """Whatever the image is resized to; thousandths are finer than the pixels of such an image."""
    x1, y1 = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    box = (x1, y1, data.draw(st.integers(x1 + 2, width)), data.draw(st.integers(y1 + 2, height)))
    (span,) = encoded(small_processor, Image.new("RGB", (width, height))).images
    (place,) = places(grounded("it", box, (width, height)), [span])
    assert place.image == 0 and place.box == pytest.approx(box, abs=1.0)


@pytest.fixture(scope="module")
def small_processor(tiny_model_dir: Any) -> NeoOVProcessor:
    return NeoOVProcessor.from_pretrained(tiny_model_dir)


def encoded(processor: NeoOVProcessor, *images: Any) -> Any:
    parts = [{"type": "image", "image": image} for image in images]
    return processor.encode([{"role": "user", "content": [*parts, {"type": "text", "text": "where?"}]}])


def photograph(orientation: int) -> tuple[bytes, tuple[int, int, int, int]]:
    """A JPEG of 320 x 192 stored pixels, and where its red spot is in the upright image."""
    stored = np.zeros((192, 320, 3), np.uint8)
    stored[32:64, 224:288] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x112] = orientation
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "JPEG", exif=exif, quality=95, subsampling=0)
    with Image.open(file) as image:
        return file.getvalue(), red(ImageOps.exif_transpose(image))


def red(image: Image.Image) -> tuple[int, int, int, int]:
    pixels = np.asarray(image.convert("RGB")).astype(int)
    box = Image.fromarray((pixels[..., 0] - pixels[..., 1] > 128).astype(np.uint8)).getbbox()
    assert box is not None
    return box


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["bytes", "image", "loaded"])
def test_boxes_are_in_upright_pixels_for_every_orientation(
    small_processor: NeoOVProcessor, orientation: int, form: str
) -> None:
    """What the model sees at a box is what a viewer shows at that box."""
    data, spot = photograph(orientation)
    source: Any = {"bytes": data, "image": Image.open(io.BytesIO(data)), "loaded": load_image(data)}[form]
    prompt = encoded(small_processor, source)
    (span,) = prompt.images
    upright = (320, 192) if orientation < 5 else (192, 320)
    assert span.origin == Origin(0, upright, (0, 0, *upright), span.origin.seen)
    seen = red(shown(prompt, span))
    written = boxed(seen, span.origin.seen)
    (place,) = places(written, prompt.images)
    a_seen_pixel = max(side / small for side, small in zip(upright, span.origin.seen, strict=True))
    assert place.box == pytest.approx(spot, abs=a_seen_pixel + 1)


def shown(prompt: Any, span: Any) -> Image.Image:
    from pixelword.processing.images import unpatchify

    return Image.fromarray(unpatchify(prompt.pixel_values[span.patches].numpy(), span.grid_hw, 16))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_once(orientation: int) -> None:
    data, spot = photograph(orientation)
    image = load_image(data)
    assert red(image) == red(load_image(image)) == spot
    assert red(load_image(load_image(Image.open(io.BytesIO(data))))) == spot


def test_boxes_in_a_part_are_boxes_in_the_whole(small_processor: NeoOVProcessor) -> None:
    first, whole = Image.new("RGB", (64, 64)), Image.new("RGB", (400, 300))
    parts = [Cutout(whole, (100, 60, 300, 160)), Cutout(whole, (0, 0, 100, 300))]
    spans = encoded(small_processor, first, whole, *parts).images
    assert [span.origin.number for span in spans] == [0, 1, 1, 1]
    text = (
        "In image 3 there is <ref>it</ref><box>[[500, 100, 1000, 1000]]</box>, in image 2 <box>[[0, 0, 500, 500]]</box>"
    )
    found = places(text, spans)
    assert [(place.image, place.box) for place in found] == [(1, (200, 70, 300, 160)), (1, (0, 0, 200, 150))]
    (alone,) = places("<box>[[0, 0, 500, 500]]</box>", encoded(small_processor, whole, *parts).images)
    assert (alone.image, alone.box) == (0, (0, 0, 200, 150))  # without a name it is the whole, not a part


def test_of_several_images_the_answer_says_which(small_processor: NeoOVProcessor) -> None:
    spans = encoded(small_processor, Image.new("RGB", (100, 100)), Image.new("RGB", (200, 50))).images
    box = "<box>[[0, 0, 500, 500]]</box>"
    (open_,) = places(f"<ref>it</ref>{box}", spans)
    assert (open_.image, open_.box, open_.box_1000) == (None, None, (0, 0, 500, 500))
    for text in (f"image 2: {box}", f"<ref>cup in image 2</ref>{box}",
                 json.dumps({"objects": [{"label": "cup", "box": [0, 0, 500, 500], "image": 1}]})):  # fmt: skip
        (place,) = places(text, spans)
        assert (place.image, place.box) == (1, (0, 0, 100, 25))
    (beyond,) = places(f"image 7: {box}", spans)
    assert beyond.image is None


def test_json_counts_images_as_they_were_sent(small_processor: NeoOVProcessor) -> None:
    first, second = Image.new("RGB", (100, 100)), Image.new("RGB", (200, 50))
    spans = encoded(small_processor, first, Cutout(first, (0, 0, 50, 50)), second).images
    for number, width in ((0, 50), (1, 100)):
        (place,) = places(json.dumps([{"label": "cup", "box": [0, 0, 500, 500], "image": number}]), spans)
        assert place.image == number and place.box is not None and place.box[2] == width


@pytest.mark.timeout(20)
def test_an_open_fence_before_white_space_takes_no_longer_than_text() -> None:
    assert marks("```json" + " \n" * 30_000) == []
    assert shapes('```json  {"box": [1, 2, 3, 4]}  \n ```') == [("", (1, 2, 3, 4))]


def test_frames_are_named_by_their_time_or_number(small_processor: NeoOVProcessor) -> None:
    frames = tuple(Image.new("RGB", (64, 32)) for _ in range(3))
    video = Video(frames, (0.0, 1.5, 62.25), 70.0, ((640, 320),) * 3)
    message = {"role": "user", "content": [{"type": "video", "video": video}, {"type": "text", "text": "where?"}]}
    spans = small_processor.encode([message]).images
    box = "<ref>it</ref><box>[[0, 0, 500, 500]]</box>"
    for text, frame, time in ((f"[01:02.25]: {box}", 2, 62.25), (f"frame 2: {box}", 1, 1.5),
                              ('{"box": [0, 0, 500, 500], "time": 1.4}', 1, 1.5)):  # fmt: skip
        (place,) = places(text, spans)
        assert (place.video, place.frame, place.time, place.image) == (0, frame, time, None)
        assert place.box == (0, 0, 320, 160)  # pixels of the file, not of the shrunk frame
    assert places(box, spans)[0].box is None

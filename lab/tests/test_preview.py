"""The page of tasks: boxes stand where they are in the picture, and what cannot be drawn is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pixelword.errors import AssetError, InputError
from pixelword.processing.videos import Video
from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Question
from pixelword_lab.family import Family, Task
from pixelword_lab.preview import describe, page, write_preview

FAMILY = Family("shapes", "Shapes", {"where": "grounding", "is": "hallucination"}, lambda *_: Task((), ()))


def image(width: int = 200, height: int = 100) -> dict[str, object]:
    return {"type": "image", "image": Image.new("RGB", (width, height), "navy")}


def test_boxes_in_percent_of_their_own_picture() -> None:
    asked = (
        Question("where", "Where?", "<box>[[250, 100, 500, 600]]</box>", "box", boxes=((0, (50, 10, 100, 60)),)),
        Question("is", "Is there one?", "no", choices=("yes", "no"), absent=True),
    )  # fmt: skip
    told = describe(Task((image(),), asked, ("emoji:1F34E",)), FAMILY)
    solid, dashed = told["pictures"][0]["boxes"]
    place = {"left": 25.0, "top": 10.0, "width": 25.0, "height": 50.0}
    assert solid == {**place, "number": 1, "dashed": False} and dashed == {**place, "number": 1, "dashed": True}
    assert told["questions"][1]["chance"] == "50%" and told["questions"][1]["absent"]
    assert told["questions"][0]["category"] == "grounding"


def test_a_box_on_the_second_picture() -> None:
    asked = (Question("where", "Where?", "left", boxes=((1, (0, 0, 50, 50)),)),)
    told = describe(Task((image(), image(100, 50)), asked), FAMILY)
    assert [len(picture["boxes"]) for picture in told["pictures"]] == [0, 1]
    assert told["pictures"][1]["boxes"][0]["width"] == 50.0 and told["pictures"][1]["boxes"][0]["height"] == 100.0


def test_a_box_on_no_picture_is_a_fault() -> None:
    asked = (Question("where", "Where?", "left", boxes=((1, (0, 0, 50, 50)),)),)
    with pytest.raises(AssetError, match="question 1 has a box on picture 1, and there are 1"):
        describe(Task((image(),), asked), FAMILY)


def test_of_a_clip_the_frames_with_boxes_are_shown() -> None:
    frames = tuple(Image.new("RGB", (64, 48), (number, 0, 0)) for number in range(20))
    clip = Video(frames, tuple(number / 2 for number in range(20)), 10.0)
    asked = (Question("where", "When?", "3.5 s", boxes=((7, (0, 0, 10, 10)),)),)
    told = describe(Task(({"type": "video", "video": clip},), asked), FAMILY)
    labels = [picture["label"] for picture in told["pictures"]]
    assert told["clip"] and len(labels) == 8 and "3.5 s" in labels and labels[0] == "0.0 s"
    assert labels == sorted(labels, key=lambda label: float(label.split()[0]))


def test_what_is_missing_is_said_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="pixelword tasks fetch"):
        write_preview(tmp_path / "page.html", ["lines"], Assets(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="no family of tasks 'shapes'"):
        write_preview(tmp_path / "page.html", ["shapes"], Assets(tmp_path))


def test_hostile_words_are_words() -> None:
    words = "</p><script>alert(1)</script>"
    told = describe(Task((), (Question("is", words, words),)), FAMILY)
    section = {
        "name": "shapes",
        "title": words,
        "kinds": [],
        "missing": "",
        "cards": [{"split": "train", "number": 0, **told}],
    }
    html = page([section])
    assert "<script>alert" not in html and html.count("&lt;script&gt;alert") >= 3

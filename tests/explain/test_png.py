"""Maps as a PNG: the page's colours, over the right patches, with words that can be read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelword
from pixelword.errors import InputError
from pixelword.explain import figure, lettering, overlay, page
from pixelword.explain.explanation import Explanation
from pixelword.explain.overlay import heat, named, paint, painted

EXAMPLES = Path(__file__).parents[2] / "examples"
STAR = 3


@pytest.fixture(scope="module")
def clip(nano: pixelword.Session) -> Explanation:
    """Four frames, and nothing hidden."""
    question = "which way does it move?"
    return pixelword.look_inside(nano, question, videos=EXAMPLES / "moving_right.mp4", occlusions=0)


def cells(image: Image.Image, rows: int = 3, columns: int = 3) -> np.ndarray:
    """(rows * columns,) brightness of each patch."""
    pixels = np.asarray(image, dtype=float)
    return pixels.reshape(rows, image.height // rows, columns, -1, 3).mean((1, 3, 4)).ravel()


def test_the_colours_are_the_pages() -> None:
    (stops,) = re.findall(r"^const HEAT = (.+);$", (page.LOOK / "draw.js").read_text(encoding="utf-8"), re.MULTILINE)
    assert [list(item) for item in overlay.HEAT] == ast.literal_eval(stops)
    assert heat(np.array([0.0, 0.15, 1.0, 2.0])) == pytest.approx(
        np.array([[13, 16, 44, 0.6], [52.5, 21, 81, 0.53], [255, 214, 64, 0.2], [255, 214, 64, 0.2]])
    )
    assert heat(np.array(-0.5)) == pytest.approx(np.array([28, 71, 144, 0.6]))


def test_every_patch_has_its_own_colour_and_nothing_is_blurred(left: Explanation) -> None:
    (seen,) = left.reading.pictures
    plain, over = paint(seen, None, 0, 300), paint(seen, np.eye(9)[STAR], 1, 300)
    assert plain.size == over.size == (288, 288)  # 3 times its 96 pixels
    assert np.array_equal(np.asarray(plain)[::3, ::3], seen.pixels)
    before, after = np.asarray(plain, dtype=float), np.asarray(over, dtype=float)
    expected = before * 0.4 + np.array([13, 16, 44]) * 0.6
    expected[96:192, :96] = before[96:192, :96] * 0.8 + np.array([255, 214, 64]) * 0.2
    assert np.abs(after - expected).max() <= 0.5 + 1e-9


def test_large_pictures_are_made_smaller_by_whole_patches(left: Explanation) -> None:
    (seen,) = left.reading.pictures
    assert paint(seen, None, 0, 50).size == (51, 51)


@pytest.mark.parametrize("method", ["mean", "gradient", "occlusion"])
def test_the_star_stays_bright(left: Explanation, method: str) -> None:
    bare, whole, *words = left.pictures(method)
    assert [bare.text, whole.text, *(word.text for word in words)] == ["", "whole answer", "a", "yellow", "star"]
    dimmed = cells(whole.images[0]) / cells(bare.images[0])
    assert dimmed.argmax() == STAR


def test_words_have_their_own_scale_but_for_occlusion(left: Explanation) -> None:
    assert left.occlusion is not None
    assert all(picture.hottest == picture.strongest for picture in left.pictures("mean")[1:])
    words = left.pictures("occlusion")[2:]
    assert [word.hottest for word in words] == pytest.approx([float(left.occlusion.drops.abs().max())] * 3)
    assert [word.strongest for word in words] == pytest.approx(left.occlusion.drops.max(1).values.clamp(min=0).tolist())


def test_one_file_or_a_folder_of_them(left: Explanation, tmp_path: Path) -> None:
    assert left.save_png(tmp_path / "look.PNG", model="nano") == (tmp_path / "look.PNG",)
    with Image.open(tmp_path / "look.PNG") as found:
        assert found.format == "PNG" and found.width > 5 * 288 and found.convert("RGB").getpixel((1, 1)) == (255,) * 3
    folder = tmp_path / "all"
    folder.mkdir()
    files = left.save_png(folder, method="gradient")
    names = ["sheet", "pictures", "answer", "word-01-a", "word-02-yellow", "word-03-star"]
    assert [file.name for file in files] == [f"{name}.png" for name in names] and set(folder.iterdir()) == set(files)
    with Image.open(files[-1]) as star:
        assert star.size == (288, 288) and cells(star)[STAR] == cells(star).max()


def test_a_video_is_told_frame_by_frame(clip: Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, (bare, right) = painted(clip, "rollout")
    assert [frame.label for frame in frames] == ["00:00.00", "00:01.00", "00:02.00", "00:03.00"]
    assert right.text == "right" and len(bare.images) == len(right.images) == 4  # one word is not told twice
    assert figure.footnote(clip, "rollout", "nano", frames) == "attention rollout  ·  nano"
    before = figure.sheet(clip, "rollout")
    monkeypatch.setattr(overlay, "MOST", 2)
    fewer, _ = painted(clip, "rollout")
    sums = [float(clip.maps.rollout[0, frame.tokens.start : frame.tokens.stop].sum()) for frame in frames]
    assert sorted(sums)[2:] == sorted(sums[frames.index(item)] for item in fewer)
    assert "2 of 4 frames, those with most of the map" in figure.footnote(clip, "rollout", "", fewer)
    assert figure.sheet(clip, "rollout").height < before.height  # two frames: both blocks in one row


def test_how_far_it_may_be_believed_is_told(left: Explanation) -> None:
    told = figure.footnote(left, "mean", "nano", left.reading.pictures)
    assert told.endswith("finds 100 % of the patches whose hiding matters, any order 11 %")
    assert "finds" not in figure.footnote(left, "occlusion", "nano", left.reading.pictures)


def test_what_cannot_be_painted_is_refused(
    nano: pixelword.Session, left: Explanation, clip: Explanation, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"unknown method 'attention': use one of last, mean, .*occlusion"):
        left.save_png(tmp_path / "a.png", method="attention")
    with pytest.raises(InputError, match="occlusion map needs occlusions"):
        clip.save_png(tmp_path / "a.png", method="occlusion")
    with pytest.raises(InputError, match="no image to paint a map over"):
        pixelword.look_inside(nano, "what is 2 plus 3?").save_png(tmp_path / "a.png")
    for place, what in (("none/a.png", "no folder"), ("a.jpg", "name a .png file"), ("none", "name a .png")):
        with pytest.raises(InputError, match=what):
            left.save_png(tmp_path / place)
    name = f"{'a' * 240}.png"  # a file may have it, but not the longer one that it is written under
    with pytest.raises(InputError, match="cannot be written"):
        left.save_png(tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_lines_are_broken_where_they_must_be() -> None:
    text = "what is on the left of the very small picture, " * 3 + "x" * 60
    lines = lettering.wrapped(text, 20, 300, 99)
    assert len(lines) > 6 and "".join("".join(lines).split()) == "".join(text.split())
    assert all(lettering.width(line, 20) <= 300 for line in lines)
    short = lettering.wrapped(text, 20, 300, 2)
    assert len(short) == 2 and short[1].endswith("…") and lettering.width(short[1], 20) <= 300
    assert lettering.wrapped("left", 20, 300, 2) == ["left"] and lettering.wrapped(" \n ", 20, 300, 2) == []


def test_characters_without_a_font_are_told_by_number() -> None:
    nowhere = "\U0010fffd"  # of private use
    assert lettering.font_for(f"a · {nowhere}", 20)[1] == "a · \\U0010fffd" and lettering.font_for("a", 20)[1] == "a"


def test_blanks_have_names() -> None:
    assert [named(item) for item in (" star", " ", "", "\n", "\n\n", "a b")] == [
        "star",
        "space",
        "space",
        "\\n",
        "\\n\\n",
        "a b",
    ]

"""Typesetting: a word's box is where its ink is, straight or seen from the side."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image

from pixelword.errors import AssetError
from pixelword.synthetic.assets import Assets, write_pack
from pixelword.synthetic.typeset import draw_face, set_line, tilt


@pytest.mark.parametrize("text", ["Read the fine print.", "gjpqy (1,234.50)", "A"])
@pytest.mark.parametrize("size", [16, 31, 60])
def test_boxes_hold_the_ink_and_nothing_is_between_them(word_assets: Assets, text: str, size: int) -> None:
    face = draw_face(Random(1), word_assets, "train")
    strip = set_line(text, face.font(size))
    assert strip.text == text
    ink = np.asarray(strip.mask) > 60
    for word in strip.words:
        left, top, right, bottom = map(int, word.box)
        rows, columns = np.nonzero(ink[top:bottom, left:right])
        assert rows.min() <= 1 and rows.max() >= bottom - top - 2
        assert columns.min() <= 1 and columns.max() >= right - left - 2
        ink[top:bottom, left:right] = False
    assert not ink.any()


@pytest.mark.parametrize("seed", range(12))
def test_a_view_takes_boxes_where_it_takes_pixels(seed: int) -> None:
    layer = Image.new("RGBA", (160, 80))
    box = (40, 20, 110, 50)
    layer.paste((255, 0, 0, 255), box)
    view = tilt(Random(seed), layer.size, 0.2)
    seen = view.of(layer)
    found = seen.getchannel("A").point(lambda value: 255 * (value > 127)).getbbox()
    assert found is not None and seen.size == view.size
    told = view.box((40.0, 20.0, 110.0, 50.0))
    assert all(abs(a - b) <= 2.5 for a, b in zip(found, told, strict=True)), (found, told)


def test_a_pack_without_fonts_of_a_split_says_what_to_do(tmp_path) -> None:  # type: ignore[no-untyped-def]
    item = {"key": "No font", "file": "a.ttf", "split": "train"}
    write_pack(tmp_path / "fonts.zip", [(item, {"a.ttf": b"not a font"})], licences={})
    assets = Assets(tmp_path)
    with pytest.raises(AssetError, match=r"no fonts for 'test': delete it, then pixelword tasks fetch fonts"):
        draw_face(Random(1), assets, "test")
    with pytest.raises(AssetError, match=r"a\.ttf is not a font"):
        draw_face(Random(1), assets, "train").font(20)

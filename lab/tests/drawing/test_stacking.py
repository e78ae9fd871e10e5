"""Lines below one another."""

from __future__ import annotations

from random import Random

import pytest

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.typeset import draw_face, set_line
from pixelword_lab.drawing.stacking import stack


@pytest.mark.parametrize("align", ["left", "center", "right"])
def test_stacked_lines_do_not_touch(word_assets: Assets, align: str) -> None:
    face = draw_face(Random(1), word_assets, "test")
    flat = stack([set_line(text, face.font(20)) for text in ("one", "a longer line", "three")], gap=4, align=align)
    boxes = [word.box for strip in flat.strips for word in strip.placed_words()]
    assert max(box[2] for box in boxes) <= flat.size[0] and max(box[3] for box in boxes) <= flat.size[1]
    first, second, third = flat.strips
    assert first.at[1] + first.mask.height <= second.at[1] and second.at[1] + second.mask.height <= third.at[1]
    assert second.at[0] == 0 and (first.at[0] > 0) == (align != "left")

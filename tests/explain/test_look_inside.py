"""nano looked into: it finds the star, and the star is what its answer rests on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pixelword
from pixelword.errors import InputError
from pixelword.explain import page

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_answer_rests_on_the_star(left: pixelword.explain.Explanation) -> None:
    assert left.answer == "a yellow star" and left.occlusion is not None and left.faithfulness is not None
    star = 3  # of nine cells: the left one of the middle row
    assert left.occlusion.drops.mean(0).argmax() == star and left.faithfulness.matter == 1
    visual = left.reading.visual
    assert left.maps.weights.mean((0, 1, 2))[visual].argmax() == star
    assert left.faithfulness.checks["mean"].found == 1
    assert left.faithfulness.checks["mean"].area < left.faithfulness.checks["chance"].area


def test_an_answer_can_be_given(nano: pixelword.Session) -> None:
    found = pixelword.look_inside(
        nano, "what is on the left?", images=EXAMPLES / "left_right.png", answer="a purple heart", occlusions=0
    )
    assert found.answer == "a purple heart" and found.occlusion is None and found.faithfulness is None
    assert found.reading.words[1].chance < 0.5


def test_words_alone_have_maps_too(nano: pixelword.Session) -> None:
    found = pixelword.look_inside(nano, "what is 2 plus 3?")
    assert found.answer == "5" and found.occlusion is None
    assert found.maps.parts.shape[-1] == 0 and found.maps.rollout.sum() == pytest.approx(1)
    assert page.page_data(found, "nano")["trust"] is None


def test_the_page_holds_the_maps(left: pixelword.explain.Explanation, tmp_path: Path) -> None:
    told = page.page_data(left, "nano")
    assert told["answer"] == "a yellow star" and told["weights"]["shape"] == [3, 6, 6, len(told["pieces"])]
    assert [name for name, _ in told["stages"]] == ["pre-buffer", "post-LLM"]
    size = left.save(tmp_path / "page.html", model="nano")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(text.encode()) == size < 200_000 and "import {" not in text
    with pytest.raises(InputError, match="cannot be written"):
        left.save(tmp_path / "page.html" / "below.html")


def test_bytes_are_close_to_their_numbers() -> None:
    import base64

    import numpy as np

    values = torch.rand(2, 3, 50) ** 4
    packed = page.packed(values)
    found = np.frombuffer(base64.b64decode(packed["bytes"]), np.uint8).reshape(2, 3, 50)
    scale = np.array(packed["scale"]).reshape(2, 3, 1)
    assert np.abs(scale * (found / 255) ** 2 - values.numpy()).max() < 0.005
    signed = page.packed(values - 0.5, signed=True)
    found = np.frombuffer(base64.b64decode(signed["bytes"]), np.uint8).reshape(2, 3, 50)
    scale = np.array(signed["scale"]).reshape(2, 3, 1)
    assert np.abs(scale * (found - 128.0) / 127 - (values.numpy() - 0.5)).max() < 0.005
    assert page.packed(torch.zeros(1, 4))["scale"] == [0]


def test_large_maps_are_told_without_single_heads(
    left: pixelword.explain.Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST", 600)
    told = page.page_data(left, "nano")
    assert told["weights"]["shape"][2] == told["parts"]["shape"][3] == 1 and told["heads"] == 6
    assert len(told["stages"]) == 0 or len(told["pieces"]) ** 2 <= 600

"""Text to read: answers that the picture shows, boxes around the ink, words and fonts that only tests show."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest
from PIL import Image

from pixelword import synthetic as nano
from pixelword.errors import AssetError
from pixelword.synthetic import lettering, reading, words
from pixelword.synthetic.assets import Assets, split_of

SPLITS = ("train", "test")


@pytest.mark.parametrize("split", SPLITS)
def test_texts_belong_to_their_split(split: str, reading_assets: Assets) -> None:
    rng = Random(1)
    drawn = [words.draw_word(rng, split, reading_assets) for _ in range(300)]
    assert {words.split_of_text(text) for text in drawn} == {split}
    assert {2, 8} <= {len(text) for text in drawn} and max(map(len, drawn)) == words.LONGEST
    assert any(text.isdigit() for text in drawn) and any(text.isupper() for text in drawn)
    lines = [words.draw_line(rng, split, reading_assets) for _ in range(100)]
    assert max(map(len, lines)) <= words.LONGEST_LINE and all(" " in line for line in lines)
    assert {words.split_of_text(word) for line in lines for word in line.split()} == {split}


def test_a_text_has_one_split_whatever_its_case() -> None:
    assert all(words.split_of_text(text) == words.split_of_text(text.upper()) for text in ("kitten", "Oats", "x7q"))


def test_the_packaged_words_are_all_held_out() -> None:
    by_length = words.packaged()
    assert all(len(by_length[length]) >= 10 for length in range(2, words.LONGEST + 1))
    assert {words.split_of_text(word) for group in by_length.values() for word in group} == {"test"}


def test_the_packaged_fonts_are_of_families_that_the_pack_holds_out() -> None:
    assert {split_of(family) for family in ("Caladea", "Roboto Slab", "Cantarell")} == {"test"}
    assert len(lettering.FONTS) == 3


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_boxes_hold_the_ink_of_their_words(split: str, level: float, reading_assets: Assets) -> None:
    """Where a box's place is painted over with the ground, nothing that differs from it is left there."""
    rng = Random(7)
    for _ in range(20):
        texts = ["Ab", "cd9"]
        sign = rng.choice((lettering.draw_sign, lettering.scatter))(rng, texts, level, split, reading_assets)
        assert sign.texts == tuple(texts)
        for x1, y1, x2, y2 in sign.boxes:
            assert 0 <= x1 < x2 <= sign.image.width and 0 <= y1 < y2 <= sign.image.height
            inside = np.asarray(sign.image.crop((round(x1), round(y1), round(x2), round(y2))), dtype=int)
            assert np.ptp(inside.reshape(-1, 3), axis=0).max() > 60  # ink and ground are both in it


def test_the_font_of_a_test_is_none_of_training(reading_assets: Assets) -> None:
    sign = {split: lettering.draw_sign(Random(3), ["Mg"], 0.0, split, reading_assets).image for split in SPLITS}
    assert sign["train"].tobytes() != sign["test"].tobytes()


@pytest.mark.parametrize("kind", nano.READING)
@pytest.mark.parametrize("split", SPLITS)
def test_questions_have_the_answer_of_their_kind(kind: str, split: str, reading_assets: Assets) -> None:
    rng = Random(5)
    for number in range(60):
        image, turn, more = reading.draw_reading(rng, kind, number / 59, split, reading_assets)
        assert isinstance(image, Image.Image) and image.width % 32 == image.height % 32 == 0
        assert image.width * image.height <= 65536 * 1.6
        assert turn.kind == kind
        longest = {"glyph": 1, "read": 8, "nth": 8, "line": 20}.get(kind)
        if kind == "find":
            box = re.fullmatch(r"<box>\[\[(\d+), (\d+), (\d+), (\d+)\]\]</box>", turn.answer)
            assert box is not None
            x1, y1, x2, y2 = map(int, box.groups())
            assert 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000
        else:
            assert 1 <= len(turn.answer) <= longest
        if more is not None:
            assert more().answer


def test_nth_counts_from_the_first_and_back_from_the_last() -> None:
    rng = Random(2)
    texts = ("one", "two", "three")
    for _ in range(60):
        turn = reading.nth_of(rng, "nth", reading.NTH_WORD, texts)
        place = next((i for i, nth in enumerate(reading.ORDINALS) if nth in turn.question), len(texts) - 1)
        assert turn.answer == texts[place] and ("last" in turn.question or place < 3)


def test_training_names_the_missing_pack(tmp_path) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(AssetError, match="pixelword tasks fetch"):
        nano.draw("read", rng, assets=Assets(tmp_path))
    assert nano.draw("read", rng, split="test", assets=Assets(tmp_path)).kind == "read"

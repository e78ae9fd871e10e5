"""Real things for nano: digits as they were written, words in fonts that no pack has, and a reason where one lacks."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from pixelword.errors import AssetError
from pixelword.evaluation.types import Test, frames
from pixelword.synthetic.assets import Assets, write_pack
from pixelword.synthetic.words import split_of_text
from pixelword_lab.suites import nano_real


def chosen(names: list[str], assets: Assets | None = None) -> list[Test]:
    return [test for test in nano_real.SUITE.tests(assets or Assets()) if test.name in names]


def png(ink: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (28, 28), ink).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    """Stand-ins of the packs `mnist` and `fonts`, of which the second knows one family."""
    digits = [({"key": f"{n}/0", "label": str(n), "file": f"{n}.png"}, {f"{n}.png": png(200)}) for n in range(10)]
    write_pack(tmp_path / "mnist.zip", digits, licences={})
    write_pack(tmp_path / "fonts.zip", [({"key": "DejaVu Sans"}, {})], licences={})
    return Assets(tmp_path)


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with fonts: empty."""
    folder = tmp_path / "share" / "fonts"
    folder.mkdir(parents=True)
    monkeypatch.setattr(nano_real, "font_folders", lambda: [folder])
    return folder


def aileron() -> bytes:
    """The font that Pillow carries: a stand-in for one of the machine's own."""
    return ImageFont.load_default(20).font_bytes


def test_digits_are_enlarged_in_the_middle_and_compared_to_the_letter(assets: Assets) -> None:
    (test,) = chosen(["mnist"], assets)
    items = test.items(None, 0)
    assert [item.question.answer for item in items] == list("0123456789")
    for item in items:
        (image,) = frames(item.media)
        pixels = np.asarray(image)
        assert pixels.shape == (64, 64, 3) and not pixels[:4].any() and (pixels[4:60, 4:60] == 200).all()
        assert item.question.chance == 0.1 and item.score(item.question.answer).right
    assert len(test.items(4, 0)) == 4


def test_scikit_learns_digits() -> None:
    if not find_spec("sklearn"):
        pytest.skip('needs scikit-learn: pip install "pixelword[eval]"')
    (test,) = chosen(["sklearn-digits"])
    items = test.items(None, 0)
    assert len(items) == 1797 and {item.question.answer for item in items} == set("0123456789")
    assert {image.size for image in frames(items[0].media)} == {(64, 64)}


def test_what_is_missing_is_said(fonts: Path, tmp_path: Path, assets: Assets, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist, own = chosen(["mnist", "own-fonts"], Assets(tmp_path / "empty"))
    for test, words in ((mnist, "tasks fetch mnist"), (own, "tasks fetch fonts")):
        with pytest.raises(AssetError, match=words):
            test.items(3, 0)
    (own,) = chosen(["own-fonts"], assets)
    with pytest.raises(AssetError, match="install another"):
        own.items(3, 0)

    monkeypatch.setattr(nano_real, "_SKLEARN_FILE", "sklearn/no such file")
    with pytest.raises(AssetError, match=r"scikit-learn.*missing"):
        list(nano_real.sklearn_digits())


def test_words_are_written_in_fonts_that_no_pack_has(
    fonts: Path, assets: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fonts / "own.ttf").write_bytes(aileron())
    (fonts / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(AssetError, match="install another"):  # nano's letters are drawn with it
        chosen(["own-fonts"], assets)[0].items(3, 0)
    monkeypatch.setattr(nano_real, "PILLOWS_OWN", "DejaVu Sans")
    (test,) = chosen(["own-fonts"], assets)
    items = test.items(30, 0)
    assert len({item.question.answer.lower() for item in items}) > 10
    for item in items:
        (image,) = frames(item.media)
        assert item.question.kind == "Aileron" and item.question.metric == "words"
        assert image.width % 32 == 0 and image.height % 32 == 0 and min(image.size) >= 64
        assert split_of_text(item.question.answer) == "test"
        assert np.asarray(image.convert("L")).std() > 5, "no ink"
    assert [entry.digest for entry in test.items(5, 0)] == [entry.digest for entry in items[:5]]


def test_cuts_of_a_known_family_are_known(fonts: Path) -> None:
    (fonts / "own.ttf").write_bytes(aileron())
    assert nano_real.own_fonts([fonts], {"DejaVu Sans"}).keys() == {"Aileron"}
    assert nano_real.own_fonts([fonts], {"Aileron Black"}) == nano_real.own_fonts([fonts], {"Aile"}) == {}

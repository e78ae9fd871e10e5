"""Packs of fonts and words that every machine has, in the place of the usual folder."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from PIL import ImageFont

from pixelword.synthetic import drawn
from pixelword.synthetic.assets import Assets, write_pack


@pytest.fixture(scope="session")
def reading_assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """Pillow's own font, and made-up words of two to eight letters."""
    folder = tmp_path_factory.mktemp("reading")
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    rng = Random(0)
    words = ["".join(rng.choice("abdeghkmnoprstuw") for _ in range(2 + number % 7)) for number in range(350)]
    face = {"key": "Own", "style": "Regular", "file": "own.ttf", "caps": False, "split": "train"}
    write_pack(folder / "fonts.zip", [(face, {"own.ttf": font.font_bytes})], licences={"Pillow": "HPND"})
    items = [({"key": f"words/{word}", "word": word, "text": word}, {}) for word in words]
    write_pack(folder / "words.zip", items, licences={"made up": "CC0"})
    return Assets(folder)


@pytest.fixture(autouse=True)
def default_assets(reading_assets: Assets, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PIXELWORD_ASSETS", str(reading_assets.folder))
    drawn.default_assets.cache_clear()
    yield
    drawn.default_assets.cache_clear()

"""Asset packs that every machine can have: Pillow's own font, and texts written here."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from PIL import ImageFont

from pixelword.synthetic import drawn
from pixelword.synthetic.assets import Assets, write_pack

NOUNS = (
    "apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbour", "island", "jacket", "kettle",
    "ladder", "market", "needle", "orchard", "pencil", "quarry", "river", "saddle", "tunnel", "valley", "window",
)  # fmt: skip
VERBS = ("crosses", "finds", "holds", "leaves", "meets", "opens", "paints", "watches")


@pytest.fixture(scope="session")
def word_assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """Packs `fonts` and `words`, with items of both splits."""
    folder = tmp_path_factory.mktemp("words")
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    fonts = [
        ({"key": f"Own {split}", "style": "Regular", "file": f"{split}.ttf", "caps": False, "split": split},
         {f"{split}.ttf": font.font_bytes})
        for split in ("train", "test")
    ]  # fmt: skip
    write_pack(folder / "fonts.zip", fonts, licences={"Pillow": "HPND"})
    write_pack(folder / "words.zip", ((item, {}) for item in _items()), licences={"written here": "CC0"})
    return Assets(folder)


def _items() -> list[dict[str, str]]:
    rng = Random(1)
    found = []
    for number in range(12):
        split = "test" if number % 4 == 0 else "train"
        sentences = [
            f"The {rng.choice(NOUNS)} {rng.choice(VERBS)} a {rng.choice(NOUNS)} near the {rng.choice(NOUNS)}."
            for _ in range(120)
        ]
        found.append(
            {"key": f"tales/{number}", "source": "tales", "text": " ".join(sentences).capitalize(), "split": split}
        )
    for number, noun in enumerate(NOUNS):
        split = "test" if number % 3 == 0 else "train"
        gloss = f"a thing with the number {number}"
        found.append(
            {"key": f"glosses/{noun}", "source": "glosses", "word": noun, "part": "noun", "text": gloss, "split": split}
        )
    entry = {"source": "computing", "word": "widget", "text": "A part of a window. " * 6}
    return [*found, *({"key": f"computing/{split}", "split": split, **entry} for split in ("train", "test"))]


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


@pytest.fixture
def default_assets(reading_assets: Assets, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`reading_assets` in the place of the usual folder."""
    monkeypatch.setenv("PIXELWORD_ASSETS", str(reading_assets.folder))
    drawn.default_assets.cache_clear()
    yield
    drawn.default_assets.cache_clear()

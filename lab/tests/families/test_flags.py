"""Flags: named as their country, in drawings that training did not show, of countries that it did."""

from __future__ import annotations

import io
from collections import Counter
from random import Random

import pytest
from PIL import Image

from pixelword.synthetic.assets import Assets, write_pack
from pixelword_lab.families import captions, flags
from pixelword_lab.family import Task, draw

COUNTRIES = {
    "Saint Lucia": "St. Lucia", "Ivory Coast": "Côte d'Ivoire", "Trinidad and Tobago": "Trinidad & Tobago",
    **{name: name for name in ("Chad", "Peru", "Japan", "Kenya", "Malta", "Nepal")},
}  # fmt: skip
RGB = {country: (40 * (place % 6), 60 * (place // 3), 255 - 25 * place) for place, country in enumerate(COUNTRIES)}


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory, disc_assets: Assets) -> Assets:
    """Flags of one colour in two packs; every third is held out in one, and the ones after them in the other."""
    folder = tmp_path_factory.mktemp("flags")
    for pack in ("stamps", "emoji"):
        (folder / f"{pack}.zip").symlink_to(disc_assets.folder / f"{pack}.zip")
    for number, pack in enumerate(("flags", "openmoji")):
        items = []
        for place, (country, other) in enumerate(COUNTRIES.items()):
            file = io.BytesIO()
            Image.new("RGBA", (90, 60), (*RGB[country], 255)).save(file, "PNG")
            named = {"label": country} if pack == "flags" else {"label": f"flag of {other}", "group": "flags"}
            item = {
                "key": f"F{place}",
                **named,
                "file": f"{place}.png",
                "split": "test" if place % 3 == number else "train",
            }
            items.append((item, {f"{place}.png": file.getvalue()}))
        write_pack(folder / f"{pack}.zip", items, licences={"drawn here": "CC0"})
    return Assets(folder)


@pytest.fixture(scope="module")
def tasks(assets: Assets) -> list[Task]:
    return [flags.draw(Random(seed), "test", assets) for seed in range(60)]


def test_the_test_shows_drawings_of_its_own_of_countries_that_were_taught(assets: Assets) -> None:
    train, test = flags.drawings(assets, "train"), flags.drawings(assets, "test")
    assert set(train.names) == set(COUNTRIES) and len(test) == 6
    assert not {item.asset for item in train} & {item.asset for item in test}
    assert not flags.drawings(Assets(assets.folder / "none"), "test")


def test_answers_are_the_country_whose_colour_is_there(tasks: list[Task]) -> None:
    for task in tasks:
        (country,) = {name for name, rgb in RGB.items() if _shows(task.media[0]["image"], rgb)}
        for question in task.questions:
            named = [name for name in COUNTRIES if name in question.question]
            if question.kind == "is":
                assert (question.answer == "yes") == (named == [country]) and question.absent == (
                    question.answer == "no"
                )
            else:
                assert question.answer == country and (not question.choices or set(question.choices) == set(named))
    kinds = Counter(question.kind for task in tasks for question in task.questions)
    assert set(kinds) == {"is", "choice", "name"} <= set(captions.KINDS)


def test_captions_show_a_flag_now_and_then(assets: Assets) -> None:
    shown = [
        seed
        for seed in range(120)
        if draw("captions", seed, "test", assets).assets[0].startswith(("flags", "openmoji"))
    ]
    assert 0 < len(shown) < 20


def _shows(picture: Image.Image, rgb: tuple[int, int, int]) -> bool:
    near = sum(
        number
        for number, item in picture.getcolors(1 << 20) or ()
        if max(abs(a - b) for a, b in zip(item, rgb, strict=True)) < 8
    )  # type: ignore[arg-type]
    return near > 0.08 * picture.width * picture.height

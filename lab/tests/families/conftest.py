"""Cut-outs that a test can see by itself: every thing is a disc of its own colour, in two styles."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from pixelword.synthetic.assets import Assets, write_pack
from pixelword_lab.drawing.objects import concepts

Boxes = list[tuple[int, int, int, int]]
#: 26 colours, none near another.
_COLOURS = [colour for colour in product((0, 128, 255), repeat=3) if colour != (128, 128, 128)]


@pytest.fixture(scope="session")
def disc_colours() -> dict[str, tuple[int, ...]]:
    """26 names of the vocabulary that share no word, and the colour of each one's disc."""
    names: list[str] = []
    for concept in concepts().values():
        apart = not any(set(concept.name.split()) & set(name.split()) for name in names)
        if concept.kind in ("animal", "vehicle") and concept.pictures and apart and not concept.name.endswith("s"):
            names.append(concept.name)
    return dict(zip(names[:: len(names) // 26][:26], _COLOURS, strict=True))


@pytest.fixture(scope="session")
def disc_assets(tmp_path_factory: pytest.TempPathFactory, disc_colours: dict[str, tuple[int, ...]]) -> Assets:
    """Packs `emoji`, `openmoji`, `stamps`: what one style holds out, another teaches."""
    folder = tmp_path_factory.mktemp("discs")
    for number, pack in enumerate(("emoji", "openmoji", "stamps")):
        items = []
        for place, (name, rgb) in enumerate(disc_colours.items()):
            picture = Image.new("RGBA", (96, 96))
            ImageDraw.Draw(picture).ellipse((2, 2, 93, 93), fill=(*rgb, 255))
            file = io.BytesIO()
            picture.save(file, "PNG")
            split = "test" if (place + number) % 3 == 0 else "train"
            key = concepts()[name].pictures[0] if pack != "stamps" else f"folder/{name}"
            item = {"key": key, "label": f"A {name}.", "file": f"{place}.png", "split": split}
            items.append((item, {f"{place}.png": file.getvalue()}))
        write_pack(folder / f"{pack}.zip", items, licences={"drawn here": "CC0"})
    return Assets(folder)


@pytest.fixture(scope="session")
def discs(disc_colours: dict[str, tuple[int, ...]]) -> Callable[[Image.Image, str], Boxes]:
    """(picture, name) -> the boxes of that thing's discs, found by their colour alone."""

    def find(picture: Image.Image, name: str) -> Boxes:
        return patches(picture, disc_colours[name])

    return find


def patches(picture: Image.Image, rgb: tuple[int, ...], near: float = 60.0) -> Boxes:
    """The boxes of the round, solid patches of a colour, to two pixels."""
    far = np.linalg.norm(np.asarray(picture, np.float32) - np.array(rgb, np.float32), axis=2)
    mask = (
        Image.fromarray(np.where(far < near, 255, 0).astype(np.uint8))
        .reduce(2)
        .point(lambda value: 255 * (value > 127))
    )
    # without specks; what stays has lost two pixels all round
    core = mask.filter(ImageFilter.MinFilter(5)).copy()
    found: Boxes = []
    while (pixels := np.argwhere(np.asarray(core) == 255)).size:
        ImageDraw.floodfill(core, (int(pixels[0][1]), int(pixels[0][0])), 128)
        patch = core.point(lambda value: 255 * (value == 128))
        core = core.point(lambda value: 255 * (value == 255))
        left, top, right, bottom = patch.getbbox() or (0, 0, 0, 0)
        wide, high = right - left + 4, bottom - top + 4
        full = np.count_nonzero(np.asarray(patch)) / ((wide - 4) * (high - 4))
        if min(wide, high) >= 9 and 0.75 < wide / high < 1.33 and full > 0.5:
            found.append((2 * left - 4, 2 * top - 4, 2 * right + 4, 2 * bottom + 4))
    return found


@pytest.fixture(scope="session")
def mentioned(disc_colours: dict[str, tuple[int, ...]]) -> Callable[[str], list[str]]:
    """The things that a text names, in its order."""

    def find(text: str) -> list[str]:
        there = {name: re.search(rf"\b{name}", text, re.I) for name in disc_colours}
        return sorted((name for name, match in there.items() if match), key=lambda name: there[name].start())  # type: ignore[union-attr]

    return find

"""Packs of cut-outs that every machine can have."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from pixelword.synthetic.assets import write_pack
from pixelword_lab.drawing.objects import concepts


@pytest.fixture(scope="session")
def square_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packs `emoji`, `openmoji` and `stamps`: plain squares of 30 colours under names of the vocabulary.

    What one pack holds out, another teaches. Not to be written to.
    """

    folder = tmp_path_factory.mktemp("squares")
    names = [
        concept.name for concept in concepts().values() if concept.kind in ("animal", "vehicle") and concept.pictures
    ][:30]
    for number, pack in enumerate(("emoji", "openmoji", "stamps")):
        items = []
        for place, name in enumerate(names):
            file = io.BytesIO()
            rgb = (place % 3 * 127, place // 3 % 3 * 127, place // 9 * 63)
            Image.new("RGBA", (64, 64), (*rgb, 255)).save(file, "PNG")
            split = "test" if (place + number) % 3 == 0 else "train"
            key = concepts()[name].pictures[0] if pack != "stamps" else f"folder/{name}"
            item = {"key": key, "label": f"A {name}.", "file": f"{place}.png", "split": split}
            items.append((item, {f"{place}.png": file.getvalue()}))
        write_pack(folder / f"{pack}.zip", items, licences={"drawn here": "CC0"})
    return folder

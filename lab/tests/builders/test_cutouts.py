"""Cut-outs and the packs made of them: trimmed, small, named as one says it, each in one split."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pixelword.synthetic.assets import split_of
from pixelword_lab.builders import emoji
from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.cutouts import cutout, opened
from pixelword_lab.builders.drawings import clean
from pixelword_lab.builders.stamps import label


def picture(size: tuple[int, int], box: tuple[int, int, int, int], mode: str = "RGBA") -> bytes:
    """A red ellipse in a box, nothing around it."""
    drawn = Image.new("RGBA", size)
    if box[2] > box[0]:
        ImageDraw.Draw(drawn).ellipse((box[0], box[1], box[2] - 1, box[3] - 1), fill=(200, 30, 40, 255))
    file = io.BytesIO()
    drawn.convert(mode).save(file, "PNG")
    return file.getvalue()


def package(path: Path, files: dict[str, bytes]) -> Archive:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return Archive(path.stem, path)


def test_a_cutout_is_trimmed_to_what_can_be_seen() -> None:
    cut = opened(cutout(picture((200, 150), (40, 30, 120, 90)), lossless=True) or b"")
    assert cut is not None and cut.mode == "RGBA" and cut.size == (80, 60)
    alpha = np.asarray(cut.getchannel("A"))
    assert alpha[30, 40] == 255 and alpha[0, 0] == 0 and all(edge.any() for edge in (alpha[0], alpha[-1], alpha[:, 0]))


def test_a_large_cutout_becomes_small_and_keeps_its_shape() -> None:
    cut = opened(cutout(picture((1200, 700), (100, 100, 1100, 600))) or b"")
    assert cut is not None and cut.size == (256, 128)
    middle = np.asarray(cut.convert("RGB"))[64, 128]
    assert np.abs(middle.astype(int) - (200, 30, 40)).max() < 12


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (picture((100, 100), (0, 0, 100, 100), "RGB"), "no transparency"),
        (picture((100, 100), (0, 0, 0, 0)), "empty"),
        (picture((100, 100), (10, 10, 90, 20)), "too thin"),
        (b"no picture", "unreadable"),
        (picture((100, 100), (10, 10, 90, 90))[:80], "cut short"),
        (picture((6000, 5000), (10, 10, 900, 900)), "too many pixels"),
    ],
)
def test_what_is_no_cutout(content: bytes, why: str) -> None:
    assert cutout(content) is None, why


NAMES = {
    "meta/groups.json": {"groups": {"0": "animals", "2": "component"}, "subgroups": {"0": "dogs"}},
    "en/data.json": [
        {"label": f"thing {number}", "hexcode": f"1F{number:03X}", "tags": ["a"], "group": 0, "subgroup": 0}
        for number in range(120)
    ]
    + [{"label": "red hair", "hexcode": "1F9B0", "group": 2, "subgroup": 0}],
}


@pytest.fixture
def names(tmp_path: Path) -> Archive:
    return package(tmp_path / "names.tgz", {name: json.dumps(told).encode() for name, told in NAMES.items()})


def test_emoji_are_named_once_each(tmp_path: Path, names: Archive) -> None:
    drawn = picture((64, 64), (8, 8, 56, 56))
    files = ["1f001.webp", "1f002-fe0f.webp", "1f002.webp", "1f9b0.webp", "1faaa.webp"]
    made = list(emoji.emoji(package(tmp_path / "e.tgz", {f"assets/{file}": drawn for file in files}), names))
    assert [item["key"] for item, _ in made] == ["1F001", "1F002"], "no variant twice, no part, nothing without a name"
    item, content = made[0]
    assert item == {
        "key": "1F001", "concept": "1F001", "label": "thing 1", "tags": ["a"], "group": "animals", "subgroup": "dogs",
        "file": "1F001.webp",
    }  # fmt: skip
    cut = opened(content[item["file"]])
    assert cut is not None and cut.size == (48, 48)


def test_every_concept_is_taught_in_one_style_at_least(tmp_path: Path, names: Archive) -> None:
    pytest.importorskip("resvg_py", reason='needs resvg-py: pip install --editable "lab[tasks]"')
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72"><circle cx="36" cy="36" r="20" fill="red"/></svg>'
    )
    drawings = {f"color/svg/1F{number:03X}.svg": svg.encode() for number in range(120)}
    made = [item for item, _ in emoji.openmoji(package(tmp_path / "o.tgz", drawings), names)]
    assert len(made) == 120
    held = {item["concept"] for item in made if item["split"] == "test"}
    other = {item["concept"] for item in made if split_of(item["key"]) == "test"}
    assert held and other and not held & other


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("flag: Chad", "flag of Chad"),
        ("man: beard", "man with beard"),
        ("family: man, woman, boy", "family"),
        ("keycap: 7", "keycap 7"),
        ("grinning face", "grinning face"),
    ],
)
def test_labels_of_emoji(said: str, name: str) -> None:
    assert emoji.label(said) == name


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("A european bear.", "european bear"),
        ("It's a cep, or they may call it so", "cep"),
        ("A camera. Say cheese!", "camera"),
        ("An owl", "owl"),
        ("UFO", "UFO"),
        ("Tux and spider - two friends.", "tux and spider"),
    ],
)
def test_labels_of_stamps(caption: str, name: str) -> None:
    assert label(caption) == name


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("glace_7_bw", "glace bw"),
        ("Red Flower 03", "red flower"),
        ("Teddy bear (by someone)", "teddy bear"),
        ("12345", ""),
        ("a story about a very long title", ""),
    ],
)
def test_titles_of_drawings(title: str, name: str) -> None:
    assert clean(title) == name


def test_flags_have_their_countries(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason='needs resvg-py: pip install --editable "lab[tasks]"')
    from pixelword_lab.builders.drawings import flags

    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 2"><rect width="3" height="1" fill="#00f"/></svg>'
    told: list[dict[str, Any]] = [
        {"cca3": code, "name": {"common": name}, "capital": capital, "region": "Europe", "subregion": "North"}
        for code, name, capital in (("AAA", "Aland", ["Abo"]), ("BBB", "Bland", []), ("CCC", "No drawing", []))
    ]
    drawn = {"data/aaa.svg": svg.encode(), "data/bbb.svg": svg.encode(), "data/ccc.svg": b"<no drawing"}
    made = list(flags(package(tmp_path / "f.tgz", {"countries.json": json.dumps(told).encode(), **drawn})))
    assert [(item["key"], item["label"], item["capital"]) for item, _ in made] == [
        ("AAA", "Aland", "Abo"),
        ("BBB", "Bland", ""),
    ]
    flag = opened(made[0][1]["AAA.webp"])
    assert flag is not None and flag.size == (256, 171) and flag.convert("RGB").getpixel((128, 40)) == (0, 0, 255)

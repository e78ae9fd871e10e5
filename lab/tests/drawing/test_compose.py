"""Cut-outs: names and colours, scenes whose boxes are what is seen, grounds that things stand out from."""

from __future__ import annotations

import io
import re
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pixelword.errors import AssetError
from pixelword.synthetic.assets import Assets, write_pack
from pixelword.synthetic.wording import article, plural, uncounted
from pixelword_lab.drawing.backgrounds import NAMED, Ground, contrast, ground_for, paint
from pixelword_lab.drawing.compose import (
    CELLS,
    Placed,
    Scene,
    arrange,
    canvas,
    cell_of,
    overlap,
    place_at,
    render,
    side_of,
)
from pixelword_lab.drawing.naming import absent, draw_things, label, settle, shows
from pixelword_lab.drawing.objects import (
    COLOURS,
    clash,
    colour_of,
    concepts,
    cutouts,
    name_colours,
    picture,
    plain_name,
    rim,
    shape,
)  # fmt: skip


def _bitten(rgb: tuple[int, int, int]) -> bytes:
    """A thing that is no rectangle: a disc without its upper right quarter, off the middle of its file."""
    image = Image.new("RGBA", (120, 90))
    pen = ImageDraw.Draw(image)
    pen.ellipse((30, 10, 100, 80), fill=(*rgb, 255))
    pen.rectangle((65, 0, 110, 44), fill=(0, 0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    folder = tmp_path_factory.mktemp("assets")
    colours = {"dog": (250, 20, 20), "cat": (20, 20, 250), "bus": (20, 160, 40), "banana": (250, 220, 40)}
    for pack in ("emoji", "openmoji"):
        items = []
        for name, rgb in colours.items():
            key = concepts()[name].pictures[0]
            held_out = (pack == "emoji") == (name in ("dog", "bus"))
            items.append(
                (
                    {"key": key, "label": "x", "file": name, "split": "test" if held_out else "train"},
                    {name: _bitten(rgb)},
                )
            )
        write_pack(folder / f"{pack}.zip", items, licences={"drawn here": "CC0"})
    return Assets(folder)


def test_the_vocabulary_is_unambiguous() -> None:
    everything = concepts()
    assert len(everything) > 450
    pictures = [picture for item in everything.values() for picture in item.pictures]
    assert len(pictures) == len(set(pictures)), "one picture has two names"
    assert clash("taxi", "car") and clash("car", "taxi") and not clash("duck", "eagle") and clash("dog", "dog")
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9 -]*", name) for name in everything)


@pytest.mark.parametrize(
    ("label_of_pack", "name"),
    [
        ("A frog.", "frog"),
        ("A happy snail.", "snail"),
        ("An hippopotamus.", "hippo"),
        ("Cat 02", "cat"),
        ("zzz", "zzz"),
    ],
)
def test_labels_become_names(label_of_pack: str, name: str) -> None:
    assert plain_name(label_of_pack) == name


@pytest.mark.parametrize(
    ("word", "item", "many"),
    [
        ("mouse", "a mouse", "mice"), ("orange", "an orange", "oranges"), ("unicorn", "a unicorn", "unicorns"),
        ("slice of cake", "a slice of cake", "slices of cake"), ("strawberry", "a strawberry", "strawberries"),
        ("red cross", "a red cross", "red crosses"), ("ear of corn", "an ear of corn", "ears of corn"),
        ("cherries", "some cherries", "cherries"), ("bunch of grapes", "a bunch of grapes", "bunches of grapes"),
    ],
)  # fmt: skip
def test_names_have_articles_and_plurals(word: str, item: str, many: str) -> None:
    assert (article(word), plural(word)) == (item, many)
    assert uncounted(word) == item.startswith("some")


def test_the_test_shows_other_pictures_of_what_was_taught(assets: Assets) -> None:
    train, test = cutouts(assets, "train"), cutouts(assets, "test")
    assert {item.asset for item in train}.isdisjoint(item.asset for item in test)
    assert set(test.names) <= set(train.names) and len(test) == 4


def test_without_any_pack_the_command_that_brings_them_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"has no cut-outs: pixelword tasks fetch emoji"):
        cutouts(Assets(tmp_path), "train")


def test_a_picture_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    item = {"key": concepts()["dog"].pictures[0], "label": "dog", "file": "dog.png", "split": "train"}
    write_pack(tmp_path / "emoji.zip", [(item, {"dog.png": b"not a picture"})], licences={})
    (dog,) = cutouts(Assets(tmp_path), "train")
    with pytest.raises(AssetError, match=r"dog\.png .*: pixelword tasks fetch emoji"):
        picture(dog)


def test_colours_are_named_where_one_is_clear(assets: Assets) -> None:
    named = {cutout.name: colour_of(cutout) for cutout in cutouts(assets, "train")}
    assert named == {"dog": "red", "cat": "blue", "bus": "green", "banana": "yellow"}
    for colour in COLOURS:
        pixels = Image.new("RGB", (4, 4), COLOURS[colour])
        assert [list(COLOURS)[n] for n in set(name_colours(np.asarray(pixels).reshape(-1, 3)))] == [colour]


def test_boxes_are_the_edges_of_what_is_seen(assets: Assets) -> None:
    pool = cutouts(assets, "train")
    for seed in range(30):
        rng = Random(seed)
        thing = rng.choice(pool)
        scene = arrange(rng, [thing], canvas(rng), ground=Ground("plain", (128, 128, 128), (128, 128, 128)), turn=40)
        assert scene is not None
        seen = np.abs(np.asarray(render(scene), np.int16) - 128).max(axis=2) > 30
        rows, columns = np.nonzero(seen)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.array(found) - scene.placed[0].box).max() <= 2, (seed, found, scene.placed)


def test_things_lie_inside_and_apart(assets: Assets) -> None:
    for seed in range(40):
        rng = Random(seed)
        scene = settle(rng, draw_things(rng, cutouts(assets, "train"), "train", 5, shapes=0.5))
        for thing in scene.placed:
            x1, y1, x2, y2 = thing.box
            assert 0 <= x1 < x2 <= scene.width and 0 <= y1 < y2 <= scene.height
        for item, other in combinations(scene.placed, 2):
            assert overlap(item.box, other.box) == 0
            assert not clash(item.cutout.name, other.cutout.name)


def test_what_cannot_fit_is_none(assets: Assets) -> None:
    things = [cutouts(assets, "train")[0]] * 40
    assert arrange(Random(0), things, (96, 96)) is None


def test_things_stand_out_from_their_ground(assets: Assets) -> None:
    things = cutouts(assets, "train")
    grounds = [ground_for(Random(seed), [rim(things[seed % len(things)])]) for seed in range(60)]
    assert sum(contrast(g, [rim(things[s % len(things)])]) > 80 for s, g in enumerate(grounds)) > 57


@pytest.mark.parametrize("kind", [*NAMED, "plain", "fading", "grain", "stripes", "checks", "dots", "clouds"])
def test_grounds_fill_any_size_and_repeat(kind: str) -> None:
    ground = Ground(kind, (200, 90, 40), (60, 90, 200), 3)
    for size in ((96, 130), (1024, 600)):
        item = paint(ground, *size)
        assert item.size == size and item.mode == "RGB"
        assert item.tobytes() == paint(ground, *size).tobytes()
    colours = len(paint(ground, 128, 128).getcolors(1 << 16) or [])
    assert (colours == 1) == (kind == "plain")


def _at(x: int, y: int) -> Placed:
    return Placed(shape(Random(0), "train"), (x, y, x + 30, y + 30))


def test_places_are_named_only_where_they_are_clear() -> None:
    scene = Scene(300, 300, Ground("plain", (0, 0, 0), (0, 0, 0)), ())
    cells = [cell_of(_at(35 + 100 * (n % 3), 35 + 100 * (n // 3)), scene) for n in range(9)]
    assert tuple(cells) == CELLS
    assert cell_of(_at(85, 35), scene) is None
    assert side_of(_at(0, 100), _at(100, 110)) == "left" and side_of(_at(100, 200), _at(110, 100)) == "below"
    assert side_of(_at(0, 0), _at(100, 100)) is None


def test_what_is_absent_is_nothing_that_is_shown(assets: Assets) -> None:
    names = cutouts(assets, "train").names
    for seed in range(80):
        rng = Random(seed)
        scene = settle(rng, draw_things(rng, cutouts(assets, "train"), "train", 2, shapes=0.5))
        word = absent(rng, scene, [*names, "taxi", "wolf", "lion", "tram"])
        assert not shows(scene, word) and word not in {label(thing.cutout) for thing in scene.placed}


def test_shapes_of_the_test_are_pairs_that_training_never_draws() -> None:
    pairs = {split: {shape(Random(seed), split).asset for seed in range(400)} for split in ("train", "test")}
    assert pairs["train"] and pairs["test"] and not pairs["train"] & pairs["test"]
    assert {asset.split()[-1] for asset in pairs["test"]} <= {asset.split()[-1] for asset in pairs["train"]}


def test_a_turned_and_mirrored_thing_keeps_its_longer_side(assets: Assets) -> None:
    thing = cutouts(assets, "train")[0]
    item = place_at(thing, 60, 5, 7, mirrored=True, turned=30)
    assert item.box[:2] == (5, 7) and max(item.box[2] - 5, item.box[3] - 7) == 60
    assert item.at(1, 2).box == (1, 2, item.box[2] - 4, item.box[3] - 5)

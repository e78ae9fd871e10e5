"""Rooms: what is answered agrees with the pixels: who stands lower in the picture is nearer, and so on."""

from __future__ import annotations

import math
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelword.errors import AssetError
from pixelword.processing.videos import load_video
from pixelword.synthetic.assets import AssetPack, Assets, write_pack
from pixelword.synthetic.types import Split
from pixelword_lab.drawing.meshes import Mesh, box_mesh, shape_mesh
from pixelword_lab.drawing.rooms3d import Camera, Placed, Renderer
from pixelword_lab.families.rooms import FAMILY, POOL, layout, shoot
from pixelword_lab.families.rooms.ask import Thing, about_picture, about_walk
from pixelword_lab.families.rooms.layout import alike
from pixelword_lab.family import Task, draw
from pixelword_lab.packs.prerendered import render_pool

pytest.importorskip("vtk", reason='rooms are drawn with vtk: pip install --editable "lab[tasks]"', exc_type=ImportError)

#: Label -> size in metres and hue in degrees: boxes that are told apart by their colour.
_PIECES: dict[str, tuple[tuple[float, float, float], int]] = {
    "chair": ((0.5, 0.9, 0.5), 0), "table": ((1.2, 0.75, 0.7), 60), "wardrobe": ((1.0, 2.0, 0.6), 120),
    "plant": ((0.4, 1.3, 0.4), 180), "trash can": ((0.4, 0.55, 0.4), 240), "toilet": ((0.45, 0.8, 0.6), 300),
}  # fmt: skip


def _vivid(hue: int) -> tuple[int, int, int]:
    return tuple(Image.new("HSV", (1, 1), (round(hue / 360 * 256), 255, 230)).convert("RGB").getpixel((0, 0)))  # type: ignore[return-value, arg-type]


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """Two models of every piece, one held out, and a small pool rendered with them."""
    folder = tmp_path_factory.mktemp("assets")
    items = []
    for label, (size, hue) in _PIECES.items():
        for split in ("train", "test"):
            mesh, file = box_mesh(size, _vivid(hue)), f"{label}-{split}.npz"
            item = {"key": f"{label} {split}", "label": label, "size": list(size), "file": file, "split": split}
            items.append((item, {file: mesh.to_bytes()}))
    write_pack(folder / "furniture.zip", items, licences={"drawn here": "CC0"})
    render_pool("rooms", Assets(folder), 36)
    return Assets(folder)


@pytest.fixture(scope="module")
def pool(assets: Assets) -> AssetPack:
    return assets.pack(POOL)


def _pictures(pool: AssetPack) -> list[dict[str, Any]]:
    return [item for item in pool.items if "way" not in item]


def _mask(picture: Image.Image, hue: int) -> np.ndarray:
    """Where the picture has a vivid colour of this hue; floors and walls are pale."""
    pixels = np.asarray(picture.convert("HSV"), int)
    off = np.abs((pixels[..., 0] * 360 / 256 - hue + 180) % 360 - 180)
    return (off < 14) & (pixels[..., 1] > 170) & (pixels[..., 2] > 30)


def _only_boxes(item: dict[str, Any]) -> bool:
    """Whether it has pieces of furniture alone, each once: then a hue means one thing."""
    names = [thing["label"] for thing in item["things"]]
    return set(names) <= set(_PIECES) and len(set(names)) == len(names)


def test_boxes_are_where_the_colour_is(pool: AssetPack) -> None:
    held = 0
    for item in _pictures(pool):
        picture = Image.open(BytesIO(pool.read(item["file"]))).convert("RGB")
        for thing in item["things"] if _only_boxes(item) else ():
            mask = _mask(picture, _PIECES[thing["label"]][1])
            # an edge where yellow meets cyan is green, but not wide
            wide = mask[1:-1, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:] & mask[:-2, 1:-1] & mask[2:, 1:-1]
            rows, columns = np.nonzero(wide)
            box = (columns.min(), rows.min(), columns.max() + 3, rows.max() + 3)
            assert np.abs(np.subtract(box, thing["boxes"][0])).max() <= 5, (item["key"], thing)
            held += 1
    assert held > 8


def test_things_are_projected_where_a_lens_puts_them(pool: AssetPack) -> None:
    """An arithmetic of its own: the middle of each thing on the floor lies above its box's lower edge, within it."""
    for item in _pictures(pool):
        camera = Camera(**item["camera"])
        for thing in item["things"]:
            placed = Placed("", thing["label"], tuple(thing["size"]), thing["x"], thing["z"], 0)
            ahead, aside = camera.ahead(placed), camera.sideways(placed)
            tilt, lens = math.radians(camera.pitch), item["height"] / 2 / math.tan(math.radians(camera.view / 2))
            depth = ahead * math.cos(tilt) + camera.y * math.sin(tilt)
            down = camera.y * math.cos(tilt) - ahead * math.sin(tilt)
            x, y = item["width"] / 2 + lens * aside / depth, item["height"] / 2 + lens * down / depth
            x1, y1, x2, _ = thing["boxes"][0]
            # what stands before it may hide a part of the box
            assert x1 - 0.5 * (x2 - x1) <= x <= x2 + 0.5 * (x2 - x1)
            assert y1 <= y
            assert math.hypot(ahead, aside) == pytest.approx(thing["distance"], abs=0.01)


def test_what_is_nearer_stands_lower_in_the_picture(assets: Assets) -> None:
    checked = 0
    for seed in range(110):
        task = draw("rooms", seed, "train", assets)
        for question in task.questions:
            if question.kind == "nearer":
                lower = max(question.boxes, key=lambda seen: seen[1][3])
                names = dict(zip(question.boxes, question.choices, strict=True))
                wants_far = "farther" in question.question
                assert (question.answer == names[lower]) is not wants_far, (seed, question)
                checked += 1
    assert checked > 5


def test_answers_are_true_to_the_picture(assets: Assets) -> None:
    seen: set[str] = set()
    for seed in range(110):
        task = draw("rooms", seed, "train", assets)
        if task.media[0]["type"] != "image":
            continue
        picture = task.media[0]["image"]
        labels = {asset.partition(":")[2].removesuffix(" train") for asset in task.assets}
        for question in task.questions:
            named = [label for label in _PIECES if label in question.question or label in question.answer]
            if question.kind == "exists" and len(named) == 1 and labels <= set(_PIECES):
                assert (question.answer == "yes") == bool(_mask(picture, _PIECES[named[0]][1]).sum() > 20)
                seen.add(f"exists {question.answer}")
            if question.kind == "side" and len(named) == 2 and labels <= set(_PIECES):
                text = question.question.lower()
                first, second = sorted(named, key=text.index, reverse="which side" in text)
                columns = [np.nonzero(_mask(picture, _PIECES[label][1]))[1].mean() for label in (first, second)]
                assert question.answer == ("left" if columns[0] < columns[1] else "right")
            if question.kind == "how tall" and named:
                assert abs(int(question.answer) - 100 * _PIECES[named[0]][0][1]) <= 5
            if question.kind == "taller" and len(named) == 2:
                heights = {f"the {label}": _PIECES[label][0][1] for label in named}
                less = "lower" in question.question or "less" in question.question
                assert question.answer == (min if less else max)(heights, key=lambda name: heights[name])
            seen.add(question.kind)
    assert seen >= {"exists yes", "exists no", "side", "how tall", "taller", "how far", "apart", "count", "find"}


def test_the_way_of_a_walk_is_what_the_pictures_do(assets: Assets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turning or going right, things go left; going forwards, they grow."""
    monkeypatch.setattr(shoot, "WALK_SHARE", 1.0)
    monkeypatch.setattr(layout, "SHAPE_SHARE", 0.0)
    checked: set[str] = set()
    for seed in range(16):
        files, item = shoot.render_item(Random(seed), "train", assets)
        video = load_video(files[item["file"]], fps=item["rate"])
        assert len(video.frames) == len(item["things"][0]["boxes"])
        shifts, growth = [], []
        labels = [thing["label"] for thing in item["things"]]
        for thing in [entry for entry in item["things"] if labels.count(entry["label"]) == 1]:
            masks = [_mask(frame, _PIECES[thing["label"]][1]) for frame in video.frames]
            for before, after in pairwise(masks):
                inner = [mask[:, 3:-3].sum() == mask.sum() for mask in (before, after)]  # not cut by the edge
                if all(inner) and min(before.sum(), after.sum()) > 60:
                    shifts.append(np.nonzero(after)[1].mean() - np.nonzero(before)[1].mean())
                    growth.append(after.sum() / before.sum())
        if len(shifts) < (1 if item["way"].startswith("turn") else 2):
            continue
        if item["way"] in ("forwards", "backwards"):
            assert (np.median(growth) > 1) == (item["way"] == "forwards"), seed
        else:
            assert (np.median(shifts) < 0) == item["way"].endswith("right"), seed
        checked.add(item["way"])
    assert len(checked) >= 4


def test_every_kind_is_drawn_with_what_it_promises(assets: Assets) -> None:
    kinds: set[str] = set()
    for split in ("train", "test"):
        for seed in range(110):
            task = draw("rooms", seed, split, assets)  # type: ignore[arg-type]
            kinds |= {question.kind for question in task.questions}
            for question in task.questions:
                assert not question.choices or question.answer in question.choices
                assert question.kind in FAMILY.kinds
            assert {asset.rpartition(" ")[2] for asset in task.assets if asset.startswith("furniture:")} <= {split}
            sizes = (
                [task.media[0]["image"].size]
                if "image" in task.media[0]
                else [frame.size for frame in task.media[0]["video"].frames]
            )
            assert all(96 <= side <= 512 for size in sizes for side in size)
    assert kinds >= set(FAMILY.kinds) - {"nearest"}, "nearest needs three things of three names: asked for below"


def test_seeds_repeat_and_a_mirror_swaps_sides(assets: Assets) -> None:
    for seed in range(8):
        item, same = (draw("rooms", seed, "train", Assets(assets.folder)) for _ in range(2))
        assert item.questions == same.questions and _bytes(item) == _bytes(same)


def test_without_a_pool_a_room_is_drawn_at_once(assets: Assets, tmp_path: Path) -> None:
    (tmp_path / "furniture.zip").write_bytes((assets.folder / "furniture.zip").read_bytes())
    item, same = (draw("rooms", 4, "test", Assets(tmp_path)) for _ in range(2))
    assert item.questions == same.questions and _bytes(item) == _bytes(same)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="pixelword tasks fetch furniture"):
        draw("rooms", 0, "train", Assets(tmp_path))


def _thing(label: str, distance: float, height: float, left: float, boxes: int = 1, seen: int = 0) -> Thing:
    box = (left, 50.0, left + 30, 90.0)
    frames = tuple(box if seen <= number else None for number in range(boxes))
    return Thing(label, (0.5, height, 0.5), 0.0, -distance, 0.35, distance, frames)


def test_only_what_is_beyond_doubt_is_compared() -> None:
    """Things that are about as far, as tall and at the same place are not compared; a clear third is."""
    close = [_thing("chair", 3.0, 0.9, 50), _thing("plant", 3.2, 1.0, 55)]
    asked = {
        item.question.kind for seed in range(20) for item in about_picture(Random(seed), close, (200, 150), ("bed",))
    }
    assert not asked & {"nearer", "nearest", "taller", "side"}
    three = [*close, _thing("toilet", 1.2, 0.4, 150)]
    answers: dict[str, set[str]] = {}
    for seed in range(20):
        for item in about_picture(Random(seed), three, (200, 150), ("bed",)):
            answers.setdefault(item.question.kind, set()).add(item.question.answer)
    assert answers["nearest"] == {"toilet"}
    assert answers["nearer"] >= {"the toilet"} and answers["taller"] >= {"the toilet"}
    assert answers["how far"] <= {"1.2", "3.0", "3.2"} and answers["how tall"] <= {"40", "90", "100"}


def test_what_is_seen_first_and_where_it_went() -> None:
    things = [_thing("chair", 3, 1, 50, boxes=6), _thing("plant", 3, 1, 90, boxes=6, seen=4)]
    gone = Thing("toilet", (1, 1, 1), 0, -2, 0.5, 2.0, ((0.0, 0.0, 20.0, 20.0), None, None, None, None, None))
    asked = [
        item.question
        for seed in range(20)
        for item in about_walk(Random(seed), [*things, gone], "turn right", ("bed",))
    ]
    assert {item.answer for item in asked if item.kind == "back"} == {"left"}
    assert {item.answer for item in asked if item.kind == "turn"} == {"right"}
    assert {item.answer for item in asked if item.kind == "first"} <= {"the chair", "the toilet"}
    assert {item.answer for item in asked if item.kind == "seen"} == {"yes", "no"}


def test_names_that_people_mix_up_are_not_in_one_room() -> None:
    assert alike("chair", "armchair") and alike("table", "desk") and alike("sofa", "sofa")
    assert not alike("chair", "table")


def test_depth_hides_what_stands_behind() -> None:
    """A small box behind a large one is not seen; beside it, it is, whole."""
    meshes = {"large": box_mesh((2, 2, 0.2), (200, 0, 0)), "small": shape_mesh("ball", 0.5, (0, 0, 200))}
    renderer = Renderer(lambda name: meshes[name])
    camera = Camera(0, 1, 0, 0)
    large = Placed("large", "wall", (2, 2, 0.2), 0, -3, 0)
    behind, beside = (Placed("small", "ball", (0.5, 0.5, 0.5), x, -4, 0) for x in (0.0, 1.8))
    size = (200, 150)
    assert renderer.views([large, behind], camera, size)[1] is None
    views = renderer.views([large, beside], camera, size)
    assert views[1] is not None and views[1].share == 1.0 and views[1].box[0] > 100


def test_many_things_are_told_apart_in_one_mask() -> None:
    """Twenty balls in a row: each has its own box, in their order, and nothing hides any."""
    renderer = Renderer(lambda name: shape_mesh("ball", 0.3, (200, 200, 200)))
    balls = [Placed("ball", "ball", (0.3, 0.3, 0.3), 0.4 * (number - 9.5), -8, 0) for number in range(20)]
    views = renderer.views(balls, Camera(0, 0.2, 0, 0), (400, 200))
    lefts = [view.box[0] for view in views if view is not None]
    assert len(lefts) == 20 and lefts == sorted(lefts)
    assert {view.share for view in views if view is not None} == {1.0}
    assert np.ptp([view.pixels for view in views if view is not None]) < 40


@pytest.mark.parametrize("shape", ["cube", "ball", "cone", "cylinder", "pyramid"])
def test_shapes_are_as_high_as_they_say_and_survive_a_file(shape: str) -> None:
    mesh = shape_mesh(shape, 0.6, (10, 200, 30))
    again = Mesh.from_bytes(mesh.to_bytes())
    assert mesh.size[1] == pytest.approx(0.6, abs=1e-6) and mesh.points[:, 1].min() == pytest.approx(0, abs=1e-6)
    assert np.abs(again.points - mesh.points).max() < 1e-4
    assert (again.faces == mesh.faces).all() and (again.colours == mesh.colours).all()


def test_a_damaged_mesh_is_one_line() -> None:
    with pytest.raises(AssetError, match="fetch its pack again"):
        Mesh.from_bytes(b"PK nothing")


def test_a_split_that_cannot_be_furnished_is_said(tmp_path: Path) -> None:
    mesh = box_mesh((9.0, 5.0, 9.0), (200, 0, 0))  # fits into no room
    item = {"key": "hall", "label": "hall", "size": [9.0, 5.0, 9.0], "file": "hall.npz", "split": "train"}
    write_pack(tmp_path / "furniture.zip", [(item, {"hall.npz": mesh.to_bytes()})], licences={})
    split: Split = "train"
    files, facts = shoot.render_item(Random(3), split, Assets(tmp_path))
    assert files and all(thing["label"] != "hall" for thing in facts["things"])


def _bytes(task: Task) -> list[bytes]:
    part = task.media[0]
    return [picture.tobytes() for picture in ([part["image"]] if "image" in part else part["video"].frames)]

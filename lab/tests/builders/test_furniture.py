"""Furniture: what a catalogue says becomes an upright mesh in metres; what cannot be shown is left out."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelword.errors import AssetError
from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.furniture import furniture
from pixelword_lab.drawing.meshes import Mesh
from pixelword_lab.drawing.wavefront import read_wavefront

# A box that lies on its back: 2 wide, 1 high, 4 deep, red below and with a texture above.
_OBJ = b"""mtllib box.mtl
v 0 0 0
v 2 0 0
v 2 1 0
v 0 1 0
v 0 0 4
v 2 0 4
v 2 1 4
v 0 1 4
vt 0.25 0.25
vt 0.25 0.75
usemtl plain
f 1 2 3 4
f 5 6 7 8
f 1 2 6 5
usemtl pictured
f 4/2 3/2 7/2 8/2
f 1/1 4/1 8/1 5/1
f -7/1 -6/1 -2/1 -3/1
"""
_MTL = b"newmtl plain\nKd 1 0 0\nnewmtl pictured\nKd 1 1 1\nmap_Kd box.png\n"


def _texture() -> bytes:
    """Blue above, green below."""
    picture = Image.new("RGB", (48, 48), (0, 0, 255))
    picture.paste((0, 255, 0), (0, 24, 48, 48))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _files() -> dict[str, bytes]:
    return {"box.obj": _OBJ, "box.mtl": _MTL, "box.png": _texture()}


def _entry(number: int, name: str = "Wardrobe", **more: str) -> str:
    facts = {"id": f"Somebody#box{number}", "name": name, "model": "/models/box/box.obj", "width": "100",
             "depth": "60", "height": "200", "doorOrWindow": "false", **more}  # fmt: skip
    return "".join(f"{fact}#{number}={value}\n" for fact, value in facts.items())


def _package(path: Path, catalogue: str, files: dict[str, bytes]) -> Archive:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", catalogue)
        for name, content in files.items():
            archive.writestr(f"models/box/{name}", content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("usr/share/sweethome3d/furniture/Somebody.sh3f", inner.getvalue())
    return Archive("sweethome3d-furniture", path)


def test_polygons_become_triangles_in_the_colours_of_material_and_texture() -> None:
    mesh = read_wavefront(_files(), "box.obj")
    assert mesh is not None
    assert mesh.faces.shape == (12, 3) and mesh.points.shape == (8, 3)
    assert mesh.size.tolist() == [2, 1, 4]
    assert (mesh.colours[:6] == (255, 0, 0)).all()
    assert (mesh.colours[6:8] == (0, 0, 255)).all() and (mesh.colours[8:] == (0, 255, 0)).all()
    # counted from the end it is the same as from the start
    assert (mesh.points[mesh.faces[10]] == [[2, 0, 0], [2, 1, 0], [2, 1, 4]]).all()


def test_a_model_whose_colours_are_lost_is_left_out() -> None:
    files = _files()
    del files["box.mtl"]
    assert read_wavefront(files, "box.obj") is None
    plain = read_wavefront({**_files(), "box.png": b"no picture"}, "box.obj")
    assert plain is not None and (plain.colours[6:] == 255).all()


def test_a_model_stands_upright_in_its_real_size(tmp_path: Path) -> None:
    turned = "1 0 0 0 0 1 0 -1 0"  # what was behind is above
    package = _package(tmp_path / "package.zip", _entry(1, modelRotation=turned), _files())
    ((item, files),) = furniture(package)
    assert item["label"] == "wardrobe" and item["size"] == [1.0, 2.0, 0.6] and item["split"] == "train"
    mesh = Mesh.from_bytes(files[item["file"]])
    assert np.allclose(mesh.size, [1.0, 2.0, 0.6], atol=1e-3)
    assert np.allclose(mesh.points.min(axis=0), [-0.5, 0, -0.3], atol=1e-3)
    # the side that was up before (blue) now looks forwards
    blue = mesh.faces[(mesh.colours == (0, 0, 255)).all(axis=1)]
    assert np.allclose(abs(mesh.points[blue][..., 2]), 0.3, atol=1e-3)


@pytest.mark.parametrize(
    "more",
    [{"name": "Parking slot"}, {"elevation": "42"}, {"doorOrWindow": "true"}, {"height": "12"}, {"width": "900"}],
)
def test_what_does_not_stand_in_rooms_is_left_out(tmp_path: Path, more: dict[str, str]) -> None:
    package = _package(tmp_path / "package.zip", _entry(1) + _entry(2, **more), _files())
    assert [item["key"] for item, _ in furniture(package)] == ["Somebody#box1"]


def test_of_several_models_of_a_name_one_is_held_out_and_of_few_none(tmp_path: Path) -> None:
    many = "".join(_entry(number, "Chair") for number in range(7)) + _entry(8) + _entry(9)
    items = [item for item, _ in furniture(_package(tmp_path / "package.zip", many, _files()))]
    held = [item["label"] for item in items if item["split"] == "test"]
    assert len(items) == 9 and held == ["chair"]


def test_what_is_no_catalogue_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        inner = io.BytesIO()
        zipfile.ZipFile(inner, "w").close()
        archive.writestr("Other.sh3f", inner.getvalue())
    with pytest.raises(AssetError, match=r"Other\.sh3f is not a catalogue"):
        list(furniture(Archive("sweethome3d-furniture", path)))

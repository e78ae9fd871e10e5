"""The pack `furniture`: Sweet Home 3D's catalogues -> upright meshes in metres with a plain name and a split.

Only what stands on a floor and what a person would name in a word or two is taken (`LABELS`); models that cannot be
read, are without colours of their own, or are too fine are left out. Textures become one colour a face.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pixelword.errors import AssetError
from pixelword.synthetic.assets import HELD_OUT
from pixelword_lab.builders.archives import Archive, inner_zip
from pixelword_lab.builders.part import Made, Part
from pixelword_lab.drawing.meshes import Mesh
from pixelword_lab.drawing.wavefront import read_wavefront

_CATALOGUE = "PluginFurnitureCatalog.properties"
#: What a thing is called in questions -> its names in the catalogues.
LABELS: dict[str, tuple[str, ...]] = {
    "chair": ("Chair", "Chair with cushion", "Oak chair", "Plastic chair", "Cafe chair", "Folding chair", "Teck chair",
              "Osaka chair", "Ryokan chair", "Child chair", "Children chair"),
    "armchair": ("Armchair", "Modern armchair", "Rattan armchair", "Winchester armchair"),
    "sofa": ("Sofa", "Couch", "Burlap sofa", "Clear sofa", "Rattan sofa", "Sofa 2 seats", "Sofa 3 seats",
             "Winchester sofa", "Convertible sofa BZ"),
    "stool": ("Stool", "Bar stool", "Piano bench"),
    "bench": ("Bench", "Painted bench", "Concrete bench"),
    "table": ("Table", "Round table", "Wooden table", "Glass table", "Oak table", "Rattan table", "Black table",
              "Wooden alder table", "Wooden teak table", "Cafe table", "Bar table", "Table on trestles",
              "Folding table", "Children table", "Coffee table", "Desk table", "Table with tablecloth"),
    "desk": ("Desk", "Wooden desk"),
    "bed": ("Bed", "Child bed", "Iron bed", "Day bed", "Captain's bed", "Hospital bed"),
    "bunk bed": ("Bunk bed", "Mezzanine bed"),
    "crib": ("Crib", "Baby bed"),
    "bedside table": ("Bedside table",),
    "wardrobe": ("Wardrobe",),
    "chest of drawers": ("Drawers cabinet", "Dresser with drawers"),
    "bookcase": ("Bookcase", "Full bookcase"),
    "shelf unit": ("Shelves", "Vertical shelves"),
    "piano": ("Upright piano", "Grand piano"),
    "fridge": ("Fridge", "Refrigerator", "Large fridge"),
    "washing machine": ("Washing machine", "Clothes washing machine"),
    "stove": ("Stove", "Large stove", "Cooker", "Propane stove"),
    "toilet": ("Toilets unit",),
    "bathtub": ("Bath", "Island bath", "Corner bathtub"),
    "bicycle": ("Bicycle", "Bike"),
    "motorbike": ("Motorbike", "Yamaha YZR R6"),
    "scooter": ("Scooter",),
    "tricycle": ("Tricycle",),
    "stroller": ("Stroller",),
    "wheelchair": ("Wheelchair",),
    "wheelbarrow": ("Wheelbarrow",),
    "plant": ("Plant", "Indoor plant", "Decorative plant", "Ficus", "Yucca", "Bamboo"),
    "Christmas tree": ("Christmas tree",),
    "palm tree": ("Palm tree", "Coconut tree"),
    "dog": ("Dog", "Bulldog"),
    "horse": ("Horse",),
    "deer": ("Deer",),
    "man": ("Male", "Mannequin male"),
    "woman": ("Female", "Mannequin female"),
    "boy": ("Boy",),
    "girl": ("Girl",),
    "snowman": ("Snowman",),
    "fireplace": ("Fireplace",),
    "trash can": ("Dustbin", "Bullet trash can", "Park trashcan", "Residential trashcan", "Recycling bin"),
    "barrel": ("Barrel",),
    "box": ("Box", "Cardboard box", "Open cardboard box", "Crate"),
    "suitcase": ("Suitcase",),
    "ladder": ("Step ladder",),
    "pool table": ("Pool table",),
    "treadmill": ("Treadmill",),
    "rocking horse": ("Rocking horse",),
    "doll house": ("Doll house",),
    "water cooler": ("Water cooler",),
    "lamp post": ("Classic lamppost", "Street lamp", "Street light", "Park light"),
}  # fmt: skip

#: Models that do not look like their name, or hang in the air: found by looking at every one.
_LEFT_OUT = {
    "augalas", "box_room", "office_box", "foldingChair", "motorbike", "cooker", "rattanTable", "ext_chair",
    "ryokanChair", "kids_desk_table", "custom-desk", "leaf_chair", "box",
}  # fmt: skip
_MOST_TRIANGLES = 30_000
_HEIGHTS = (0.25, 3.2)  # metres: what is lower is hardly seen from eye level, what is taller is cut by the image
_WIDEST = 3.0
_TAKEN_AS_SEEN = 3  # models a label needs before one of them is held out: a name must be taught to be asked for
_LINE = re.compile(r"(\w+)#(\d+)=(.*)")


def furniture(package: Archive) -> Made:
    """Items {"key", "label", "size": [width, height, depth] in metres, "file"}, each with its mesh."""
    catalogues = {Path(name).name: content for name, content in package.members(lambda name: name.endswith(".sh3f"))}
    entries = [entry for name in sorted(catalogues) for entry in _entries(catalogues[name], name)]
    held_out = _held_out(entries)
    for entry in entries:
        mesh = _mesh(entry, _files(catalogues[entry["catalogue"]], entry))
        if mesh is not None:
            key, size = entry["id"], [round(float(side), 3) for side in mesh.size]
            file = re.sub(r"\W+", "-", key) + ".npz"
            split = "test" if key in held_out else "train"
            yield (
                {"key": key, "label": entry["label"], "size": size, "file": file, "split": split},
                {file: mesh.to_bytes()},
            )


def _entries(content: bytes, catalogue: str) -> list[dict[str, Any]]:
    """The catalogue's models that have a label, stand on the floor and are of a size to be seen."""
    named = {name: label for label, names in LABELS.items() for name in names}
    found = dict(inner_zip(content, lambda name: name == _CATALOGUE, catalogue))
    if not found:
        raise AssetError(f"{catalogue} is not a catalogue of furniture: fetch its package again")
    rows: dict[str, dict[str, Any]] = defaultdict(dict)
    for match in filter(None, map(_LINE.match, found[_CATALOGUE].decode("latin-1").splitlines())):
        rows[match[2]][match[1]] = match[3]
    kept = []
    for row in rows.values():
        size = np.array([float(row[side]) for side in ("width", "height", "depth")], np.float32) / 100
        stands = float(row.get("elevation", 0)) == 0 and row["doorOrWindow"] == "false"
        seen = _HEIGHTS[0] <= size[1] <= _HEIGHTS[1] and max(size[0], size[2]) <= _WIDEST
        if row["name"] in named and stands and seen and row["id"].rpartition("#")[2] not in _LEFT_OUT:
            kept.append({**row, "label": named[row["name"]], "size": size, "catalogue": catalogue})
    return kept


def _held_out(entries: list[dict[str, Any]]) -> set[str]:
    """The models that training never sees: of every label with several of them the first by the hash of their keys."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_label[entry["label"]].append(entry["id"])
    chosen: set[str] = set()
    for keys in by_label.values():
        if len(keys) >= _TAKEN_AS_SEEN:
            keys.sort(key=lambda key: hashlib.sha256(key.encode()).digest())
            chosen.update(keys[: max(1, round(len(keys) * HELD_OUT))])
    return chosen


def _mesh(entry: dict[str, Any], files: dict[str, bytes]) -> Mesh | None:
    """The model upright, in its real size, standing on y = 0; None when it cannot be shown as it is."""
    mesh = read_wavefront(files, PurePosixPath(entry["model"]).name)
    if mesh is None or len(mesh.faces) > _MOST_TRIANGLES or len(mesh.points) >= 2**16 or _is_blank(mesh.colours):
        return None
    points = mesh.points
    if "modelRotation" in entry:
        rotation = np.array([float(number) for number in entry["modelRotation"].split()], np.float32).reshape(3, 3)
        points = points @ rotation.T
    low, high = points.min(axis=0), points.max(axis=0)
    if (high - low).min() <= 0:
        return None
    middle = (low + high) / 2
    points = (points - [middle[0], low[1], middle[2]]) / (high - low) * entry["size"]
    return Mesh(points.astype(np.float32), mesh.faces, mesh.colours)


def _is_blank(colours: np.ndarray) -> bool:
    """Whether nearly all of it is white: a model whose colours were lost (a fridge has a handle at least)."""
    return bool((colours.min(axis=1) > 242).mean() > 0.97)


def _files(content: bytes, entry: dict[str, Any]) -> dict[str, bytes]:
    """The files beside the model, by name."""
    folder = PurePosixPath(entry["model"].lstrip("/")).parent
    inside = inner_zip(content, lambda name: PurePosixPath(name).parent == folder, entry["catalogue"])
    return {PurePosixPath(name).name: file for name, file in inside}


FURNITURE = (Part(("sweethome3d-furniture",), furniture),)

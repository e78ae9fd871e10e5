"""Things with names: the vocabulary of `objects.txt`, and the cut-outs that show them, each in one split for good.

A cut-out's style is its pack. Most things are shown in several styles, and what is held out in one is taught in the
others (or by another image): a test image is new, its name is not.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from itertools import product
from random import Random

import numpy as np
from PIL import Image

from pixelword.errors import AssetError
from pixelword.synthetic.assets import AssetPack, Assets, split_of
from pixelword.synthetic.drawing import outline_mask
from pixelword.synthetic.scenes import SHAPES, jitter
from pixelword.synthetic.types import Split

RGB = tuple[int, int, int]
#: Packs whose keys are code points; the others' labels are names.
_BY_PICTURE = ("emoji", "openmoji")
#: Hardly seen on any ground.
_UNSUITED = frozenset(("stamps:naturalforces/lightningbolt", "stamps:animals/fish/shrimp"))
STYLES = ("emoji", "openmoji", "stamps")
#: Named colours of drawn shapes. Pixels are named by `name_colours`, and these are well inside their names.
COLOURS: dict[str, RGB] = {
    "red": (214, 34, 40), "orange": (245, 130, 20), "yellow": (250, 220, 45), "green": (35, 155, 60),
    "blue": (35, 80, 220), "purple": (135, 45, 175), "pink": (250, 135, 185), "brown": (125, 72, 32),
    "black": (14, 14, 16), "white": (250, 250, 250), "grey": (128, 128, 130),
}  # fmt: skip
_BLACK = list(COLOURS).index("black")
_ENTRY = re.compile(r"([A-Za-z0-9\- ]+?)(?: \(([^)]*)\))?((?: [0-9A-F]{4,5}(?:-[0-9A-F]{4,5})*)*)")
_LARGEST = 256


@dataclass(frozen=True)
class Concept:
    """What a thing is called. kind: a word for its like, asked for only when `countable`; also: other fitting names."""

    name: str
    kind: str
    countable: bool
    also: frozenset[str]
    pictures: tuple[str, ...]

    def fits(self, word: str) -> bool:
        """Whether people may call it that: by its name, another name or its kind."""
        return word in (self.name, self.kind) or word in self.also


@dataclass(frozen=True)
class Cutout:
    """An image of one thing with a transparent ground. asset: "pack:key"; rgb: of a drawn shape, else None."""

    asset: str
    name: str
    kind: str
    pack: AssetPack | None = field(default=None, compare=False, repr=False)
    file: str = ""
    rgb: RGB | None = None

    @property
    def style(self) -> str:
        return self.asset.partition(":")[0]

    def __hash__(self) -> int:
        return hash((self.asset, self.rgb))


@lru_cache(maxsize=1)
def concepts() -> dict[str, Concept]:
    """The vocabulary by name, in the file's order."""
    found = {}
    for line in resources.files("pixelword_lab.drawing").joinpath("objects.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        kind, _, entries = line.partition(": ")
        for entry in entries.split("; "):
            match = _ENTRY.fullmatch(entry)
            if match is None:
                raise ValueError(f"objects.txt: cannot read {entry!r}")
            name, also, pictures = match[1], match[2] or "", match[3].split()
            others = frozenset(also.split(", ")) if also else frozenset()
            found[name] = Concept(name, kind.strip("()"), kind[0] != "(", others, tuple(pictures))
    for name in SHAPES:
        found.setdefault(name, Concept(name, "shape", True, frozenset(_MISTAKEN.get(name, ())), ()))
    return found


_MISTAKEN = {"diamond": ("square",), "ring": ("circle",)}


@lru_cache(maxsize=1 << 16)
def clash(item: str, other: str) -> bool:
    """Whether two names may mean the same thing ("taxi" and "car"), so that no question can tell them apart."""
    a, b = concepts()[item], concepts()[other]
    return item == other or item in b.also or other in a.also


class Pool(tuple[Cutout, ...]):
    """Cut-outs to draw from."""

    @cached_property
    def by_name(self) -> dict[str, list[Cutout]]:
        """The cut-outs by what they show."""
        groups: dict[str, list[Cutout]] = {}
        for item in self:
            groups.setdefault(item.name, []).append(item)
        return groups

    @cached_property
    def names(self) -> list[str]:
        """What they show, sorted."""
        return sorted(self.by_name)


def cutouts(assets: Assets, split: Split, styles: Iterable[str] = STYLES) -> Pool:
    """All cut-outs of a split, of those packs that are there. Raises AssetError when none is."""
    present = [style for style in styles if assets.has(style)]
    if not present:
        raise AssetError(f"{assets.folder} has no cut-outs: pixelword tasks fetch {' '.join(styles)}")
    return _of_packs(tuple(assets.pack(style) for style in present))[split]


@lru_cache(maxsize=16)
def _of_packs(packs: tuple[AssetPack, ...]) -> dict[Split, Pool]:
    """The test shows only what some other image taught the name of."""
    train = Pool(item for pack in packs for item in _of_pack(pack, "train"))
    test = Pool(item for pack in packs for item in _of_pack(pack, "test") if item.name in train.by_name)
    return {"train": train, "test": test}


def _of_pack(pack: AssetPack, split: Split) -> Iterator[Cutout]:
    by_picture = {picture: entry for entry in concepts().values() for picture in entry.pictures}
    for item in pack.of(split):
        if pack.name in _BY_PICTURE:
            concept = by_picture.get(item["key"])
        else:
            concept = concepts().get(plain_name(item.get("label", "")))
        if concept is not None and concept.kind != "shape" and f"{pack.name}:{item['key']}" not in _UNSUITED:
            yield Cutout(f"{pack.name}:{item['key']}", concept.name, concept.kind, pack, item["file"])


_SAID_FIRST = re.compile(
    r"^(a|an|the|some|one|cartoon|little|small|big|old|simple|happy|ripe|glossy|colorful|silver|modern)\b,? "
)


def plain_name(label: str) -> str:
    """The vocabulary's name in a pack's label: 'A frog.' -> 'frog', 'happy snail 2' -> 'snail'; the label when none."""
    words = re.sub(r"[\d_()!.\"]+", " ", label.lower()).strip(" -,")
    words = re.sub(r"\s+", " ", words)
    while words not in concepts() and (match := _SAID_FIRST.match(words)):
        words = words[match.end() :]
    return _SAME.get(words, words)


_SAME = {
    "lightbulb": "light bulb", "orca": "whale", "dromedary": "camel", "pigeon": "dove", "fire truck": "fire engine",
    "rhinoceros": "rhino", "hippopotamus": "hippo", "sedan car": "car", "aeroplane": "airplane", "plane": "airplane",
    "race car": "racing car", "ladybird": "ladybug", "couch": "sofa", "camcorder": "video camera", "tv": "television",
    "yellow lemon": "lemon", "yellow pear": "pear", "brown potato": "potato", "cluster of grapes": "bunch of grapes",
    "grapes": "bunch of grapes", "pair of cherries": "cherries", "kiwifruit": "kiwi", "t shirt": "t-shirt",
    "baseball cap": "cap", "classical guitar": "guitar", "electric guitar": "guitar", "brown hen": "chicken",
    "hen": "chicken", "garden spade": "shovel", "head of lettuce": "lettuce", "garlic bulb": "head of garlic",
    "bike": "bicycle", "motorbike": "motorcycle", "computer": "desktop computer", "pink flamingo": "flamingo",
    "wild boar": "boar", "christmas tree": "Christmas tree", "american football": "American football",
    "gift box": "gift", "present": "gift", "bull": "ox", "honeybee": "bee",
}  # fmt: skip


@lru_cache(maxsize=1)
def _shape_pairs() -> dict[Split, tuple[tuple[str, str], ...]]:
    """Which (colour, shape) pairs each split draws."""
    pairs = list(product(COLOURS, SHAPES))
    test = tuple(pair for pair in pairs if split_of(f"shape {pair[0]} {pair[1]}", 0.2) == "test")
    return {"train": tuple(pair for pair in pairs if pair not in test), "test": test}


def shape(rng: Random, split: Split, *, shape: str | None = None, colour: str | None = None) -> Cutout:
    """A plain coloured shape as a cut-out, of a (colour, shape) pair of this split.

    Where the split has no such pair, one of any colour: ask only for what `shape` or `colour` it turned out to be.
    """
    pairs = [p for p in _shape_pairs()[split] if shape in (None, p[1]) and colour in (None, p[0])]
    colour, shape = rng.choice(pairs or _shape_pairs()[split])
    return Cutout(f"shape:{colour} {shape}", shape, "shape", rgb=jitter(rng, COLOURS[colour], 10))


@lru_cache(maxsize=192)
def picture(cutout: Cutout) -> Image.Image:
    """The cut-out trimmed to what is seen of it, mode RGBA, at most 256 pixels a side. Do not draw into it."""
    if cutout.pack is None:
        image = Image.new("RGBA", (_LARGEST, _LARGEST), cutout.rgb)
        image.putalpha(outline_mask(cutout.name, _LARGEST))
    else:
        try:
            image = Image.open(io.BytesIO(cutout.pack.read(cutout.file))).convert("RGBA")
        except OSError as error:
            name = cutout.pack.path.stem
            raise AssetError(f"{cutout.pack.path}: {cutout.file} ({error}): pixelword tasks fetch {name}") from error
        image.thumbnail((_LARGEST, _LARGEST))
    return trimmed(image)


def trimmed(image: Image.Image) -> Image.Image:
    """An RGBA image cropped to where it is at least a third opaque, so that its box is what one sees."""
    return image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > 84)).getbbox())


@lru_cache(maxsize=8192)
def colour_of(cutout: Cutout) -> str | None:
    """The one colour that people would name: it covers most of the thing, and no other a notable part. Else None."""
    if cutout.rgb is not None:
        return cutout.asset.split(":")[1].split()[0]
    names = name_colours(_seen(cutout))
    if cutout.style == "openmoji" and (names == _BLACK).mean() < 0.42:
        names = names[names != _BLACK]  # its outlines
    shares = sorted(((float((names == number).mean()), name) for number, name in enumerate(COLOURS)), reverse=True)
    (most, name), (second, _) = shares[:2]
    # borders between colours (orange brown, bluish green) are shading where one colour is far ahead
    shaded = cutout.style in _BY_PICTURE and most >= 0.42 and most >= 0.85 * float((names >= 0).mean())
    return name if (most >= 0.62 or shaded) and second <= 0.1 else None


@lru_cache(maxsize=8192)
def rim(cutout: Cutout) -> RGB:
    """The mean colour of its outermost pixels, which a ground has to differ from."""
    small = picture(cutout).reduce(max(1, max(picture(cutout).size) // 48))
    alpha = np.asarray(small.getchannel("A")) > 128
    inner = alpha.copy()
    for axis, step in product((0, 1), (1, -1)):
        inner &= np.roll(np.pad(alpha, 1), step * 2, axis)[1:-1, 1:-1]
    edge = np.asarray(small)[..., :3][alpha & ~inner]
    red, green, blue = (edge if len(edge) else np.asarray(small)[..., :3].reshape(-1, 3)).mean(0).round()
    return int(red), int(green), int(blue)


def _seen(cutout: Cutout) -> np.ndarray:
    small = picture(cutout).reduce(max(1, max(picture(cutout).size) // 64))
    pixels = np.asarray(small)
    return pixels[pixels[..., 3] > 200][:, :3]


def colour_named(rgb: RGB) -> str | None:
    """The name of one colour; None where people would not agree."""
    number = int(name_colours(np.array([rgb], dtype=np.uint8))[0])
    return list(COLOURS)[number] if number >= 0 else None


def name_colours(pixels: np.ndarray) -> np.ndarray:
    """Number of each pixel's colour in `COLOURS`, (n,) from RGB (n, 3); -1 where people would not agree on one."""
    red, green, blue = (pixels[:, channel].astype(np.float32) / 255 for channel in range(3))
    value, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    spread = np.maximum(value - low, 1e-6)
    saturation = spread / np.maximum(value, 1e-6)
    hue = np.where(
        value == red,
        (green - blue) / spread % 6,
        np.where(value == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )
    hue = hue * 60
    vivid = (saturation > 0.35) & (value > 0.3)
    reddish = (hue < 14) | (hue > 346)
    rules = {
        "red": reddish & (saturation > 0.6) & (value > 0.5),
        "orange": (hue > 17) & (hue < 40) & (saturation > 0.6) & (value > 0.8),
        "yellow": (hue > 42) & (hue < 64) & (saturation > 0.4) & (value > 0.75),
        "green": (hue > 75) & (hue < 165) & vivid,
        "blue": (hue > 190) & (hue < 248) & vivid,
        "purple": (hue > 258) & (hue < 305) & (saturation > 0.3) & (value > 0.45),
        "pink": ((hue > 312) | (hue < 8)) & (saturation > 0.18) & (saturation < 0.6) & (value > 0.8),
        "brown": (hue > 8) & (hue < 40) & (saturation > 0.35) & (value > 0.25) & (value < 0.68),
        "black": (value < 0.22),
        "white": (saturation < 0.1) & (value > 0.88),
        "grey": (saturation < 0.16) & (value > 0.32) & (value < 0.8),
    }
    names = np.full(len(pixels), -1)
    for number, name in enumerate(COLOURS):
        names[rules[name] & (names < 0)] = number
    return names

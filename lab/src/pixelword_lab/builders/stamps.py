"""The packs `stamps` (cut-outs of real things, with captions) and `sprites` (of games, named by their files)."""

from __future__ import annotations

import re

from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.cutouts import cutout
from pixelword_lab.builders.part import Made, Part
from pixelword_lab.builders.svg import raster

_STAMPS = "usr/share/tuxpaint/stamps/"
#: Letters, digits and signs are not things.
_NO_THINGS = ("symbols/alphabets/", "symbols/math/")


def stamps(archive: Archive) -> Made:
    """Items: key (path), label ("european bear"), caption ("A european bear."), group and subgroup (folders)."""
    files = archive.files(
        lambda name: name.startswith(_STAMPS) and name.endswith((".png", ".svg", ".txt")) and "_mirror" not in name
    )
    for name in sorted(files):
        stem, _, ending = name.removeprefix(_STAMPS).rpartition(".")
        caption = files.get(f"{_STAMPS}{stem}.txt", b"").decode("utf-8", "replace").partition("\n")[0].strip()
        drawn_twice = ending == "svg" and f"{_STAMPS}{stem}.png" in files
        if ending == "txt" or drawn_twice or stem.startswith(_NO_THINGS) or not caption:
            continue
        picture = cutout(raster(files[name], 256) if ending == "svg" else files[name])
        if picture is not None:
            group, *within = stem.split("/")[:-1]
            fields = {"label": label(caption), "caption": caption, "group": group, "subgroup": "/".join(within)}
            yield {"key": stem, **fields, "file": f"{stem}.webp"}, {f"{stem}.webp": picture}


def label(caption: str) -> str:
    """What a caption names: "A european bear." is a european bear, "It's a camera. Say cheese!" a camera."""
    first = re.split(r"[.!,;:—–(]| - ", caption.strip())[0].strip()
    bare = re.sub(r"^((it's|this is) )?(an?|the|some) ", "", first, flags=re.IGNORECASE)
    return bare[:1].lower() + bare[1:] if bare[1:2].islower() else bare


_ARCADE = "arcade/resources/assets/"
_PICTURES = ("images/backgrounds/", "images/cybercity", "images/miami", "images/test_textures/", "images/spritesheets/")


def sprites(archive: Archive) -> Made:
    """Items: key (path), label (the file's words), group (folder). Backgrounds and sheets are left out."""
    for name, content in archive.members(lambda name: name.startswith(_ARCADE) and name.endswith(".png")):
        stem = name.removeprefix(_ARCADE).removesuffix(".png")
        if stem.startswith(_PICTURES):
            continue
        picture = cutout(content, lossless=True)
        if picture is not None:
            words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-]|(?<=[A-Za-z])(?=\d)", " ", stem.rpartition("/")[2])
            fields = {"label": " ".join(words.lower().split()), "group": stem.rpartition("/")[0]}
            yield {"key": stem, **fields, "file": f"{stem}.webp"}, {f"{stem}.webp": picture}


STAMPS = (Part(("tuxpaint-stamps-default",), stamps, version=2),)
SPRITES = (Part(("arcade",), sprites),)

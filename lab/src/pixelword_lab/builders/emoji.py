"""The packs `emoji` and `openmoji`: the same concepts in two art styles, shaded and flat.

`concept` is the same in both. Every concept that both have is taught in at least one of them: those that `emoji` holds
out are `openmoji`'s to teach, and the other way round, so that what was taught in one style can be asked in the other.
"""

from __future__ import annotations

import json

from pixelword.synthetic.assets import Item, split_of
from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.cutouts import cutout
from pixelword_lab.builders.part import Made, Part

#: Skin tones and hair are parts of other images; they have none of their own.
_LEFT_OUT = ("component",)


def emoji(pictures: Archive, names: Archive) -> Made:
    """Shaded images of 256 px, each with its label, tags and group."""
    known = concepts(names)
    for name, content in pictures.members(lambda name: name.endswith(".webp")):
        # a few are there twice, with and without the mark that says "in colour"
        named = known.pop(concept_of(name.rpartition("/")[2].removesuffix(".webp")), None)
        picture = cutout(content) if named else None
        if named and picture is not None:
            file = f"{named['concept']}.webp"
            yield {"key": named["concept"], **named, "file": file}, {file: picture}


def openmoji(drawings: Archive, names: Archive) -> Made:
    """Flat drawings with outlines, named as in `emoji`."""
    from pixelword_lab.builders.svg import raster

    known = concepts(names)
    for name, content in drawings.members(lambda name: name.startswith("color/svg/") and name.endswith(".svg")):
        named = known.pop(concept_of(name.rpartition("/")[2].removesuffix(".svg")), None)
        picture = cutout(raster(content, 256), lossless=True) if named else None
        if named and picture is not None:
            concept, file = named["concept"], f"{named['concept']}.webp"
            yield {"key": concept, "split": _other_split(concept), **named, "file": file}, {file: picture}


def _other_split(concept: str) -> str:
    """Of the second style: taught where the first holds the concept out, and held out by a draw of its own."""
    return "train" if split_of(concept) == "test" else split_of(f"openmoji/{concept}")


def concept_of(code: str) -> str:
    """The code points of an emoji as one name: upper case, without the marks that say "in colour"."""
    return "-".join(part for part in code.upper().split("-") if part != "FE0F")


def concepts(names: Archive) -> dict[str, Item]:
    """Concept -> concept, label, tags, group, subgroup; without variants of skin."""
    known: dict[str, Item] = {}
    groups = json.loads(names.file("meta/groups.json"))
    for load in json.loads(names.file("en/data.json")):
        group = groups["groups"].get(str(load.get("group")), "component")
        if group in _LEFT_OUT:
            continue
        concept = concept_of(load["hexcode"])
        subgroup = groups["subgroups"][str(load["subgroup"])]
        fields = {"label": label(load["label"]), "tags": load.get("tags", []), "group": group, "subgroup": subgroup}
        known[concept] = {"concept": concept, **fields}
    return known


def label(text: str) -> str:
    """A label as one says it: "flag: Chad" is the flag of Chad, "man: beard" a man with a beard."""
    text = text.replace("“", '"').replace("”", '"').replace("’", "'")
    kind, colon, rest = text.partition(": ")
    if not colon:
        return text
    if kind == "flag":
        return f"flag of {rest}"
    if kind == "family":
        return "family"
    return f"{kind} {rest}" if kind == "keycap" else f"{kind} with {rest}"


EMOJI = (Part(("@lobehub/fluent-emoji-3d", "emojibase-data"), emoji),)
OPENMOJI = (Part(("openmoji", "emojibase-data"), openmoji),)

"""The packs `clipart` (drawings with titles) and `flags` (of countries), both drawn from SVG."""

from __future__ import annotations

import html
import json
import re

from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.cutouts import cutout, encoded, opened
from pixelword_lab.builders.part import Made, Part
from pixelword_lab.builders.svg import raster

_CLIPART = "usr/share/openclipart/svg/"
#: Stars by the hundred, icons without a thing in them, and what has no name.
_LEFT_OUT = (
    "shapes/", "computer/icons/", "special/", "unsorted/", "signs_and_symbols/flags/", "geography/", "logos/",
    "buttons/", "office/",
)  # fmt: skip
_BYTES = 400_000  # of a drawing: a few have megabytes of paths


def clipart(archive: Archive) -> Made:
    """Items: key (path), label (the title, cleaned), title, tags, group (folder). Titles that name nothing: none."""
    for name, content in archive.members(lambda name: name.startswith(_CLIPART) and name.endswith(".svg")):
        stem = name.removeprefix(_CLIPART).removesuffix(".svg")
        if stem.startswith(_LEFT_OUT) or len(content) > _BYTES:
            continue
        text = content.decode("utf-8", "replace")
        title = _inside(text, r"<cc:Work[^>]*>.*?<dc:title>(.*?)</dc:title>")
        label = clean(title)
        picture = cutout(raster(content, 256), lossless=True) if label else None
        if picture is None or len(picture) > 60_000:
            continue
        tags = [html.unescape(tag) for tag in re.findall(r"<rdf:li>\s*([^<]{2,30}?)\s*</rdf:li>", text)]
        fields = {"label": label, "title": title, "tags": tags, "group": stem.rpartition("/")[0]}
        yield {"key": stem, **fields, "file": f"{stem}.webp"}, {f"{stem}.webp": picture}


_NO_NAME = re.compile(
    r"\(.*?\)|\b(by|clip ?art|icon|cartoon|simple|svg|remix|v?\d+|[ivx]+)\b|[_,;:!?\-#]+|\d+", re.IGNORECASE
)


def clean(title: str) -> str:
    """A title as a plain name, "" where it is none: no file names, numbers or authors."""
    words = _NO_NAME.sub(" ", title)
    name = " ".join(words.split()).lower()
    return name if re.fullmatch(r"[a-z][a-z']*( [a-z][a-z']*){0,3}", name) and 3 <= len(name) <= 32 else ""


def _inside(text: str, pattern: str) -> str:
    found = re.search(pattern, text, re.DOTALL)
    return html.unescape(" ".join(found[1].split())) if found else ""


def flags(archive: Archive) -> Made:
    """Items: key (three letters of the country), label (its name), capital, region, subregion. 256 px wide."""
    countries = json.loads(archive.file("countries.json"))
    drawings = archive.files(lambda name: name.startswith("data/") and name.endswith(".svg"))
    for country in countries:
        code = country["cca3"]
        picture = opened(raster(drawings.get(f"data/{code.lower()}.svg", b""), 256))
        if picture is None:
            continue
        fields = {
            "label": country["name"]["common"],
            "capital": (country.get("capital") or [""])[0],
            "region": country["region"],
            "subregion": country["subregion"],
        }
        yield {"key": code, **fields, "file": f"{code}.webp"}, {f"{code}.webp": encoded(picture, lossless=True)}


CLIPART = (Part(("openclipart-svg",), clipart),)
FLAGS = (Part(("world-countries",), flags),)

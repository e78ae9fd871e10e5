"""The pack `dialogs`: the figures of GIMP's manual, dialogs, menus and images, each with its caption."""

from __future__ import annotations

import html
import re

from PIL import Image

from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.cutouts import encoded, opened
from pixelword_lab.builders.part import Made, Part

_MANUAL = "usr/share/gimp/2.0/help/en/"
#: Sides of a figure in pixels: below are buttons, above whole screens.
_LEAST, _MOST = 64, 1024


def dialogs(archive: Archive) -> Made:
    """Items: key (path), caption, title (of the page it stands on), group (folder), file, size (width, height)."""
    captions: dict[str, tuple[str, str]] = {}
    for _, content in archive.members(lambda name: name.startswith(_MANUAL) and name.endswith(".html")):
        page = content.decode("utf-8", "replace")
        found = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
        title = _plain(found[1]) if found else ""
        for file, caption in re.findall(r'<img\s+src="images/([^"]+\.png)"[^>]*?alt="([^"]+)"', page):
            captions.setdefault(file, (_plain(caption), title))
    for name, content in archive.members(lambda name: name.startswith(f"{_MANUAL}images/") and name.endswith(".png")):
        file = name.removeprefix(f"{_MANUAL}images/")
        picture = opened(content) if file in captions else None
        if picture is None or min(picture.size) < _LEAST or max(picture.size) > _MOST:
            continue
        ground = Image.new("RGBA", picture.size, "white")
        flat = Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
        key = file.removesuffix(".png")
        caption, title = captions[file]
        fields = {"caption": caption, "title": title, "group": key.rpartition("/")[0], "size": list(flat.size)}
        yield {"key": key, **fields, "file": f"{key}.webp"}, {f"{key}.webp": encoded(flat, quality=88)}


def _plain(text: str) -> str:
    words = html.unescape(re.sub(r"<[^>]*>", "", text)).replace("“", '"').replace("”", '"').replace("’", "'")
    return " ".join(words.split())


DIALOGS = (Part(("gimp-help-en",), dialogs),)

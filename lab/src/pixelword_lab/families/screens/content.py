"""What stands on a screen: one of the kinds of pages, drawn from words of one split."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Split
from pixelword_lab.families.screens import documents, windows
from pixelword_lab.families.screens.lists import commands
from pixelword_lab.families.screens.source import Page, Source


def draw_page(rng: Random, split: Split, assets: Assets) -> Page:
    """A page of any kind."""
    source = Source(rng, split, assets)
    kinds = [kind for kind in _MAKERS if kind != "table" or assets.has("tables")]
    page = _MAKERS[rng.choice(kinds)](source)
    page.assets = (*page.assets, *source.used)
    page.others["button"] = list(commands(split))
    return page


_MAKERS: dict[str, Callable[[Source], Page]] = {
    "dialog": windows.dialog, "form": windows.form, "settings": windows.settings, "mail": documents.mailbox,
    "tasks": windows.todo, "table": documents.sheet, "article": documents.article, "editor": windows.editor,
    "receipt": documents.receipt, "menu": windows.menu, "files": documents.folder,
}  # fmt: skip
#: Template -> what people call such a page.
CALLED: dict[str, str] = {
    "dialog": "dialog", "form": "form", "settings": "settings page", "mail": "mailbox", "tasks": "to-do list",
    "table": "table", "article": "article", "editor": "text editor", "receipt": "receipt", "menu": "menu",
    "files": "file manager",
}  # fmt: skip

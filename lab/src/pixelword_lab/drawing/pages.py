"""Pages as images: Chromium draws HTML and says what is where, from the DOM.

Elements that matter carry `data-role`; their names, states and boxes are read where the browser knows them best.
"""

from __future__ import annotations

import atexit
import os
import shutil
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from pixelword.errors import AssetError
from pixelword.extras import install_command
from pixelword.synthetic.types import Box

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Pixels; a taller page is not a screen anybody would train on.
TALLEST = 640
_COLLECT = """() => {
  const shown = e => e.value !== undefined && e.tagName !== 'BUTTON' && e.type !== 'checkbox' && e.type !== 'radio';
  const cut = e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline';
  return [...document.querySelectorAll('[data-role]')].map(e => {
    const r = e.getBoundingClientRect(), d = e.dataset;
    return {
      role: d.role, name: d.name ?? e.innerText.trim(), text: shown(e) ? e.value : e.innerText.trim(),
      ask: d.ask ?? '', checked: d.checked === 'true' || e.checked === true, disabled: e.disabled === true
        || d.disabled === 'true', selected: d.selected === 'true', cut: cut(e),
      box: [r.left, r.top, r.right, r.bottom],
    };
  });
}"""


@dataclass(frozen=True)
class Element:
    """What the DOM says of one element.

    role: what it is ("button", "field", ...). name: its label. text: what it shows, or what was typed into it.
    ask: questions whose answer its text is, separated by "|". cut: its text does not fit. box: in pixels.
    """

    role: str
    name: str
    text: str
    ask: str
    checked: bool
    disabled: bool
    selected: bool
    cut: bool
    box: Box


def program() -> str | None:
    """Where Chromium is installed; None where it is not."""
    return next((found for name in _PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """A Chromium that reaches no network; `close` ends it, and so does the end of its process."""

    def __init__(self) -> None:
        """Raises AssetError: no playwright, or no Chromium."""
        try:
            from playwright.sync_api import Error, sync_playwright
        except ImportError as error:
            raise AssetError(f"screens need playwright: {install_command('tasks', of='pixelword-lab')}") from error
        found = program()
        if found is None:
            raise AssetError("screens are drawn by Chromium, which is not installed: apt-get install chromium")
        # a root user, as in a container, has no sandbox to offer
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        self.owner = os.getpid()
        self._play = sync_playwright().start()
        try:
            self._browser = self._play.chromium.launch(executable_path=found, args=[*options, "--hide-scrollbars"])
        except Error as error:
            self._play.stop()
            raise AssetError(f"{found} does not start: {str(error).splitlines()[0]}") from error
        self._context = self._browser.new_context(offline=True, java_script_enabled=True)
        self._page = self._context.new_page()

    def shoot(self, html: str, width: int) -> tuple[Image.Image, list[Element]] | None:
        """The page (RGB), as tall as it needs, and its elements; None where it does not fit its width or TALLEST."""
        self._page.set_viewport_size({"width": width, "height": 64})
        self._page.set_content(html, wait_until="load")
        self._page.evaluate("document.fonts.ready.then(() => true)")
        wide, tall = self._page.evaluate(
            "[document.documentElement.scrollWidth, Math.ceil(document.body.getBoundingClientRect().bottom)]"
        )
        if wide > width or not 64 <= tall <= TALLEST:
            return None
        self._page.set_viewport_size({"width": width, "height": tall})
        found = [_element(item) for item in self._page.evaluate(_COLLECT)]
        with Image.open(BytesIO(self._page.screenshot(animations="disabled", caret="hide"))) as picture:
            return picture.convert("RGB"), found

    def close(self) -> None:
        """End the browser; a second time does nothing."""
        if self.owner == os.getpid() and self._browser.is_connected():
            self._browser.close()
            self._play.stop()


def _element(item: dict[str, Any]) -> Element:
    left, top, right, bottom = (round(float(place), 1) for place in item.pop("box"))
    return Element(**item, box=(left, top, right, bottom))


_running: list[Browser] = []


def browser() -> Browser:
    """This process's own browser, started on first use."""
    if not _running or _running[0].owner != os.getpid():
        # a forked process must not talk to its parent's browser
        _running[:] = [Browser()]
        atexit.register(close_browser)
    return _running[0]


def close_browser() -> None:
    """End this process's browser, if it has one."""
    if _running:
        _running.pop().close()

"""Take docs/page.png: the served page in Chromium, with nano's own answers.

Start `pixelword serve nano`, then run `python docs/make_page_picture.py`; `--address` is of another server.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
SIZE = {"width": 1040, "height": 830}


def ask(page: Page, question: str, *files: str) -> None:
    """One turn, waited for."""
    before = page.locator("[data-state=done]").count()
    page.set_input_files("#files", [ROOT / "examples" / name for name in files])
    page.get_by_role("textbox", name="Question").fill(question)
    page.keyboard.press("Enter")
    page.locator("[data-state=done]").nth(before).wait_for()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "page.png")
    given = parser.parse_args()
    with sync_playwright() as play:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
        page = browser.new_page(viewport=SIZE, device_scale_factor=2)
        page.set_default_timeout(120_000)
        page.goto(given.address)
        page.locator("#model").wait_for()
        ask(page, "which way does it move?", "moving_right.mp4")  # the first answer waits for the server's workers
        page.get_by_role("button", name="New chat").click()
        ask(page, "describe the picture", "left_right.png")
        ask(page, "which picture has more objects?", "left_right.png", "three_squares.png")
        page.evaluate("document.activeElement.blur()")
        page.mouse.move(20, 400)
        page.screenshot(path=given.out)
        browser.close()
    picture = Image.open(given.out).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(given.out, optimize=True)  # flat colours: a third of the bytes


if __name__ == "__main__":
    main()

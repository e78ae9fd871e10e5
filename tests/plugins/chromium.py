"""Pages in Chromium; without it these tests are left out and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DESKTOP = {"width": 1280, "height": 900}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")  # not longer: processes forked by later tests would hold its driver open
def browser() -> Iterator[Any]:
    """A Chromium that may not reach any network: a page that asks for something beyond its file fails its test."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium, which is not installed: apt-get install chromium")
    # a root user, as in a container, has no sandbox to offer
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=program, args=arguments)
        yield running
        running.close()


@pytest.fixture
def open_file(browser: Any) -> Iterator[Callable[..., Any]]:
    """open_file(path, place="sheet-1", viewport=…) -> its page. Errors of its script, and requests, fail the test."""
    contexts, faults = [], []

    def opened(path: Path, place: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
        page.on("request", lambda asked: faults.append(asked.url) if asked.url.startswith("http") else None)
        page.goto(f"file://{path}#{place}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []

"""Pages in Chromium; without it these tests are left out and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

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

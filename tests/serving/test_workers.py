"""The processes that decode: a server takes no request before they stand, and does not start where they cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pixelword.checkpoints.names import resolve
from pixelword.errors import PixelwordError
from pixelword.serving import workers as module
from pixelword.serving.settings import Settings
from pixelword.serving.workers import Workers

PROMPT = [{"role": "user", "content": [{"type": "text", "text": "what is 2 plus 3?"}]}]


def test_after_waiting_no_request_pays_for_a_start(monkeypatch) -> None:
    with Workers(resolve("nano"), replace(Settings(), workers=2)) as workers:
        workers.wait()
        monkeypatch.setattr(module, "_START_SECONDS", 0.0)  # a start would now be refused
        assert all(len(workers.encode(PROMPT, {}).result(60)) for _ in range(4))


def test_workers_that_cannot_start_are_told_before_any_request(tmp_path) -> None:
    with (
        Workers(tmp_path, replace(Settings(), workers=1)) as workers,
        pytest.raises(PixelwordError, match="processes that read images could not start"),
    ):
        workers.wait()

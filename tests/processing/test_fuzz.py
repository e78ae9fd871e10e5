"""500 mutations of a small file of every format that is read: an image or a MediaError, no other ending, no hang."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

COUNT = int(os.environ.get("PIXELWORD_FUZZ_COUNT", "500"))
SEED = int(os.environ.get("PIXELWORD_FUZZ_SEED", "0"))
SECONDS = 60.0 + COUNT / 5


def beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


clips, fuzz = beside("clips"), beside("fuzz")
VIDEOS = [name for name in clips.FORMS if name != "dv"]  # 300 kB a frame: tried without mutations


@pytest.mark.parametrize("format", fuzz.IMAGES)
def test_a_damaged_image_is_read_or_refused(format: str) -> None:
    whole, refused = fuzz.outcomes(fuzz.read_image, fuzz.image_file(format), COUNT, SEED, SECONDS)
    assert whole + refused == COUNT and whole and refused


@pytest.mark.parametrize("name", VIDEOS)
def test_a_damaged_video_is_read_or_refused(name: str) -> None:
    content = clips.clip(name, count=6)
    whole, refused = fuzz.outcomes(fuzz.read_video, content, COUNT, SEED, SECONDS)
    assert whole + refused == COUNT and whole

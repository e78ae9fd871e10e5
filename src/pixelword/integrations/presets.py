"""Upstream's ways to evaluate, by the names that its VLMEvalKit models have: NEOov-{2B,9B}-{image,video,si}."""

from __future__ import annotations

from dataclasses import dataclass

from pixelword.errors import InputError
from pixelword.evaluation.paper.benchmarks import Setting, benchmarks
from pixelword.processing.options import MediaOptions


@dataclass(frozen=True)
class Preset:
    """How media are read, what the system message is, and the most tokens of an answer."""

    name: str
    system: str | None
    media: MediaOptions
    new_tokens: int


#: Preset -> the category of benchmarks whose setting it is.
_CATEGORIES = {"image": "image", "video": "video", "si": "spatial"}
PRESETS = tuple(_CATEGORIES)
#: Frames of a video, where nothing else is said: one a second, up to these.
_FRAMES = 256


def preset(name: str) -> Preset:
    """The preset "image", "video" or "si" (spatial intelligence). Raises InputError for another."""
    if name not in _CATEGORIES:
        raise InputError(f"preset {name!r}: use one of {', '.join(PRESETS)}")
    setting = next(one.setting for one in benchmarks([_CATEGORIES[name]]) if one.setting.name == _CATEGORIES[name])
    return Preset(name, setting.system, _media(setting), setting.new_tokens)


def _media(setting: Setting) -> MediaOptions:
    low, high = setting.pixels
    return MediaOptions(low, high, fps=1.0, max_frames=_FRAMES)

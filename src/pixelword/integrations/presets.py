"""Upstream's evaluation presets, by its VLMEvalKit model names: NEOov-{2B,9B}-{image,video,si}."""

from __future__ import annotations

from dataclasses import dataclass

from pixelword.errors import InputError
from pixelword.evaluation.paper.benchmarks import Benchmark, Category, Setting, named
from pixelword.evaluation.paper.benchmarks import setting as setting_of
from pixelword.processing.options import MediaOptions


@dataclass(frozen=True)
class Preset:
    """How media are read, what the system message is, the most tokens of an answer, and whether upstream draws them.

    frame_label: what stands before each frame of a video, with {n}, where frames are images.
    """

    name: str
    system: str | None
    media: MediaOptions
    new_tokens: int
    sampled: bool = True
    frame_label: str = ""

    def benchmark(self, data_set: str | None) -> Benchmark | None:
        """Return the paper's benchmark by VLMEvalKit's name, if upstream runs it under this preset."""
        found = named(data_set) if data_set else None
        return found if found and found.setting.name == _CATEGORIES[self.name] else None


#: Preset -> the category of benchmarks whose setting it is.
_CATEGORIES: dict[str, Category] = {"image": "image", "video": "video", "si": "spatial"}
PRESETS = tuple(_CATEGORIES)
#: Frames of a video, by default: one a second, up to these.
_FRAMES = 256


def preset(name: str) -> Preset:
    """The preset "image", "video" or "si" (spatial intelligence). Raises InputError for another."""
    if name not in _CATEGORIES:
        raise InputError(f"preset {name!r}: use one of {', '.join(PRESETS)}")
    setting = setting_of(_CATEGORIES[name])
    return Preset(name, setting.system, _media(setting), setting.new_tokens, setting.sampled, setting.frame_label)


def _media(setting: Setting) -> MediaOptions:
    low, high = setting.pixels
    return MediaOptions(low, high, fps=1.0, max_frames=_FRAMES)

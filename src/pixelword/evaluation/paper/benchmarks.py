"""The table of benchmarks, read into what the other files of this room use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from pixelword.errors import InputError
from pixelword.processing.options import MediaOptions

Category = Literal["image", "video", "spatial"]
Prompt = Literal["choice", "yes_no", "short", "plain"]
#: The categories, in the order of tables, with their titles.
TITLES: dict[Category, str] = {
    "image": "single pictures",
    "video": "several pictures, and videos",
    "spatial": "space",
}
#: Pixels of a visual token.
_TOKEN = 32 * 32
_TABLE = Path(__file__).with_name("benchmarks.yaml")


@dataclass(frozen=True)
class Setting:
    """How a category's media are read and its answers are written; see the head of benchmarks.yaml."""

    name: str
    new_tokens: int
    expected: int
    frame_tokens: int
    min_tokens: int | None = None
    max_tokens: int | None = None
    area: tuple[int, int] | None = None
    system: str | None = None

    @property
    def pixels(self) -> tuple[int | None, int | None]:
        """(min_pixels, max_pixels) of a picture."""
        if self.area is not None:
            return (self.area[0] * self.area[1],) * 2
        return (self.min_tokens and self.min_tokens * _TOKEN, self.max_tokens and self.max_tokens * _TOKEN)


@dataclass(frozen=True)
class Benchmark:
    """One benchmark; see the head of benchmarks.yaml. paper: model -> published figure."""

    id: str
    name: str
    category: Category
    file: str
    questions: int
    metric: str
    setting: Setting
    paper: dict[str, float] = field(default_factory=dict)
    prompt: Prompt = "choice"
    pictures: int = 1
    size: tuple[int, int] = (640, 480)
    seconds: int = 0
    frames: int | None = None
    up_to: int | None = None
    rotate: bool = False

    def media(self, *, own_limits: bool = False) -> MediaOptions:
        """How its media are read, made anew for each benchmark: nothing of one can leak into the next.

        own_limits: a model's own pixel limits instead of the paper's.
        """
        low, high = (None, None) if own_limits else self.setting.pixels
        rate = 1.0 if self.up_to else None
        return MediaOptions(low, high, fps=rate, max_frames=self.up_to, num_frames=self.frames)


@cache
def _read() -> tuple[tuple[str, ...], tuple[Benchmark, ...]]:
    content = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    models = tuple(content["models"])
    settings = {name: _setting(name, one) for name, one in content["settings"].items()}
    return models, tuple(_benchmark(one, settings, models) for one in content["benchmarks"])


def _setting(name: str, given: dict[str, Any]) -> Setting:
    area = given.get("area")
    return Setting(name, **{**given, "area": area and (area[0], area[1])})


def _benchmark(given: dict[str, Any], settings: dict[str, Setting], models: tuple[str, ...]) -> Benchmark:
    rest = {key: value for key, value in given.items() if key not in ("paper", "settings", "size")}
    known = {name: figure for name, figure in zip(models, given["paper"], strict=True) if figure is not None}
    wide, high = given.get("size", (640, 480))
    setting = settings[given.get("settings", given["category"])]
    return Benchmark(**rest, size=(wide, high), setting=setting, paper=known)


def models() -> tuple[str, ...]:
    """Those whose figures were published, in the order of tables."""
    return _read()[0]


def benchmarks(names: Sequence[str] = ()) -> tuple[Benchmark, ...]:
    """Those of these ids or categories, all for none. Raises InputError for an unknown one."""
    found = _read()[1]
    known = [*TITLES, *(one.id for one in found)]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"the suite paper has no benchmark {unknown[0]!r}: choose one of {', '.join(known)}")
    return tuple(one for one in found if not names or one.id in names or one.category in names)

"""Loads the benchmark table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from pixelword.errors import InputError
from pixelword.processing.options import MediaOptions

Category = Literal["image", "video", "spatial"]
#: The categories, in the order of tables, with their titles.
TITLES: dict[Category, str] = {
    "image": "single images",
    "video": "several images, and videos",
    "spatial": "space",
}
#: Pixels of a visual token.
_TOKEN = 32 * 32
_TABLE, _PROMPTS = (Path(__file__).with_name(name) for name in ("benchmarks.yaml", "prompts.yaml"))


@dataclass(frozen=True)
class Setting:
    """Media and answer settings of a category; see the head of benchmarks.yaml."""

    name: str
    new_tokens: int
    expected: int
    min_tokens: int | None = None
    max_tokens: int | None = None
    area: tuple[int, int] | None = None
    label: str = ""
    frame_label: str = ""
    system: str | None = None
    sampled: bool = False

    @property
    def pixels(self) -> tuple[int | None, int | None]:
        """(min_pixels, max_pixels) of an image."""
        if self.area is not None:
            return (self.area[0] * self.area[1],) * 2
        return (self.min_tokens and self.min_tokens * _TOKEN, self.max_tokens and self.max_tokens * _TOKEN)


@dataclass(frozen=True)
class Prompt:
    """A prompt format; see the head of prompts.yaml."""

    choices: str
    open: str = ""
    option: str = "{letter}. {choice}"
    between: str = "\n"
    hint: str = "{hint}\n"
    label: str | None = None
    marks: bool = False
    video: Prompt | None = None


@dataclass(frozen=True)
class Benchmark:
    """One benchmark; see the head of benchmarks.yaml. paper: model -> published figure."""

    id: str
    name: str
    category: Category
    file: tuple[str, ...]
    questions: int
    metric: str
    setting: Setting
    prompt: Prompt
    paper: dict[str, float] = field(default_factory=dict)
    pictures: int = 1
    size: tuple[int, int] = (640, 480)
    seconds: int = 0
    frames: int | None = None
    up_to: int | None = None
    timeless: bool = False
    enlarge: int = 1
    rotate: bool = False
    only: tuple[str, str] | None = None
    kind: str | None = None
    group: tuple[str, str] | None = None
    judge: Literal["unread", "all"] | None = None
    source: str = ""
    counted: str = ""
    unconfirmed: tuple[str, ...] = ()
    note: str = ""

    def media(self, *, own_limits: bool = False) -> MediaOptions:
        """How its media are read, built separately for each benchmark: nothing of one can leak into the next.

        own_limits: a model's own pixel limits instead of the paper's.
        """
        low, high = (None, None) if own_limits else self.setting.pixels
        rate = 1.0 if self.up_to else None
        return MediaOptions(low, high, fps=rate, max_frames=self.up_to, num_frames=self.frames)


@dataclass(frozen=True)
class _Table:
    models: tuple[str, ...]
    settings: dict[str, Setting]
    benchmarks: tuple[Benchmark, ...]


@cache
def _read() -> _Table:
    content = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    models = tuple(content["models"])
    settings = {name: _setting(name, item) for name, item in content["settings"].items()}
    prompts = {name: _prompt(item) for name, item in yaml.safe_load(_PROMPTS.read_text(encoding="utf-8")).items()}
    found = tuple(_benchmark(benchmark, settings, prompts, models) for benchmark in content["benchmarks"])
    return _Table(models, settings, found)


def _setting(name: str, given: dict[str, Any]) -> Setting:
    area = given.get("area")
    return Setting(name, **{**given, "area": area and (area[0], area[1])})


def _prompt(given: dict[str, Any]) -> Prompt:
    own = {key: value for key, value in given.items() if key != "video"}
    own.setdefault("open", own["choices"])
    return Prompt(**own, video=_prompt({**own, **given["video"]}) if "video" in given else None)


def _benchmark(
    given: dict[str, Any], settings: dict[str, Setting], prompts: dict[str, Prompt], models: tuple[str, ...]
) -> Benchmark:
    own = {key: given[key] for key in ("min_tokens", "max_tokens", "expected") if key in given}
    rest = {key: value for key, value in given.items() if key not in ("settings", *own)}
    rest = {key: tuple(value) if isinstance(value, list) else value for key, value in rest.items()}
    rest["file"] = rest["file"] if isinstance(rest["file"], tuple) else (rest["file"],)
    rest["paper"] = {name: item for name, item in zip(models, given["paper"], strict=True) if item is not None}
    rest["prompt"] = prompts[given.get("prompt", "direct")]
    return Benchmark(**rest, setting=replace(settings[given.get("settings", given["category"])], **own))


def models() -> tuple[str, ...]:
    """Return the models with published figures, in table order."""
    return _read().models


def setting(category: Category) -> Setting:
    """Return a category's setting, before a benchmark overrides it."""
    return _read().settings[category]


def named(file: str) -> Benchmark | None:
    """Return the benchmark by its file name without extension, VLMEvalKit's name of a data set."""
    return next(
        (benchmark for benchmark in _read().benchmarks if file in (Path(name).stem for name in benchmark.file)), None
    )


def benchmarks(names: Sequence[str] = ()) -> tuple[Benchmark, ...]:
    """Return benchmarks by id or category, all if none are given. Raises InputError for an unknown one."""
    found = _read().benchmarks
    known = [*TITLES, *(item.id for item in found)]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"unknown benchmark {unknown[0]!r}: choose one of {', '.join(known)}")
    return tuple(item for item in found if not names or item.id in names or item.category in names)

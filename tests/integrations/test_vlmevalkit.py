"""The adapter for VLMEvalKit, against VLMEvalKit's interface.

VLMEvalKit itself is not installed for tests: it needs torchvision, which does not fit every torch, and it switches off
the checking of certificates when it is imported. `BaseModel` below stands for its `vlmeval.vlm.base.BaseModel`
(ms-vlmeval 0.0.20): how it calls a model and what it checks are as there; the rest of VLMEvalKit is not tried here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pixelword.errors import InputError
from pixelword.inference.session import load
from pixelword.integrations.vlmevalkit import NAMES, register

EXAMPLES = Path(__file__).parents[2] / "examples"
CIRCLE, SQUARES = str(EXAMPLES / "red_circle.png"), str(EXAMPLES / "three_squares.png")


class BaseModel:
    """VLMEvalKit's side of the interface."""

    INTERLEAVE = False
    allowed_types = ("text", "image", "video")

    def __init__(self) -> None:
        self.dump_image_func: Any = None

    def use_custom_prompt(self, dataset: str) -> bool:
        return False

    def set_dump_image(self, dump_image_func: Any) -> None:
        self.dump_image_func = dump_image_func

    def generate(self, message: list[dict[str, Any]], dataset: str | None = None) -> str:
        assert all(one["type"] in self.allowed_types for one in message)
        return self.generate_inner(message, dataset)  # type: ignore[attr-defined, no-any-return]

    def chat(self, messages: list[dict[str, Any]], dataset: str | None = None) -> str:
        return self.chat_inner(messages, dataset=dataset)  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """made(name): the model as VLMEvalKit makes it from its table, with nano's weights."""
    for name in ("vlmeval", "vlmeval.vlm", "vlmeval.vlm.base"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["vlmeval.vlm.base"], "BaseModel", BaseModel, raising=False)
    monkeypatch.delitem(sys.modules, "pixelword.integrations.vlmevalkit.model", raising=False)
    table: dict[str, Any] = {}
    register(table, {"2B": "nano"})
    models: list[Any] = []

    def make(name: str) -> Any:
        models.append(table[name]())
        return models[-1]

    yield make
    for one in models:
        one.close()
    sys.modules.pop("pixelword.integrations.vlmevalkit.model", None)


def asked(words: str, *pictures: str) -> list[dict[str, Any]]:
    return [*({"type": "image", "value": one} for one in pictures), {"type": "text", "value": words}]


def test_upstreams_six_names() -> None:
    table: dict[str, Any] = {}
    assert tuple(register(table, {"2B": "a", "9B": "b"})) == NAMES == tuple(table)
    assert NAMES[0] == "NEOov-2B-image" and len(NAMES) == 6
    with pytest.raises(InputError, match="sizes 2B and 9B"):
        register(table, {"3B": "c"})


def test_calls_from_many_threads_run_together_and_answer_as_alone(made: Callable[[str], Any]) -> None:
    model = made("NEOov-2B-si")
    assert model.is_api and model.INTERLEAVE and not model.INSTALL_REQ and not model.use_custom_prompt("MMStar")
    assert model.session.media.min_pixels == model.session.media.max_pixels == 720 * 960
    # nano reads small pictures: its own limits here
    model.session.media = load("nano").media
    questions = [asked("describe the picture", picture) for picture in (CIRCLE, SQUARES)]
    alone = [model.generate(one, dataset="MMStar") for one in questions]
    steps = model.engine.steps
    assert steps > 4 and len(set(alone)) == 2
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda one: model.generate(one, dataset="MMStar"), questions * 4))
    assert said == alone * 4
    assert model.engine.steps - steps < 4 * steps  # some were shared


def for_data_set(model: Any, nframe: int, fps: float) -> None:
    """What VLMEvalKit's inference_video does to a model before a data set's questions: what it has not, it leaves."""
    if model.nframe is not None and model.nframe > 0:
        model.nframe = nframe if nframe > 0 else None
    if model.fps is not None and model.fps > 0:
        model.fps = fps if fps > 0 else None


def test_a_video_is_a_file_at_the_data_sets_rate(made: Callable[[str], Any]) -> None:
    model = made("NEOov-2B-video")
    assert model.VIDEO_LLM and not model.is_api and model.fps == 1.0
    model.preset = type(model.preset)("video", None, model.preset.media, 16)  # nano knows no system message
    clip = [{"type": "video", "value": str(EXAMPLES / "moving_right.mp4")}]
    assert model._parts(clip) == [{"type": "video", "video": clip[0]["value"], "fps": 1.0}]
    for_data_set(model, nframe=0, fps=0.5)
    assert model._parts(clip)[0] == {"type": "video", "video": clip[0]["value"], "fps": 0.5}
    model.fps, model.nframe = 1.0, 256  # as it was made
    for_data_set(model, nframe=2, fps=-1)
    assert model._parts(clip)[0] == {"type": "video", "video": clip[0]["value"], "num_frames": 2}
    assert isinstance(model.generate([*clip, *asked("which way does it move?")]), str)


def test_turns(made: Callable[[str], Any]) -> None:
    model = made("NEOov-2B-si")
    model.session.media = load("nano").media
    turns = [
        {"role": "user", "content": asked("what colour is the circle?", CIRCLE)},
        {"role": "assistant", "content": asked("red")},
        {"role": "user", "content": asked("what shape is it?")},
    ]
    assert model.chat(turns, dataset="MMDU") == "circle"

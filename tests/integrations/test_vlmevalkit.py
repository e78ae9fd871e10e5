"""The adapter for VLMEvalKit, against VLMEvalKit's interface.

VLMEvalKit itself is not installed for tests: it needs torchvision, which does not fit every torch, and it switches off
the checking of certificates when it is imported. `BaseModel` below stands for its `vlmeval.vlm.base.BaseModel`
(ms-vlmeval 0.0.20): how it calls a model and what it checks are as there; the rest of VLMEvalKit is not tried here.
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from pixelword.errors import InputError
from pixelword.evaluation.paper import files, prompting
from pixelword.evaluation.paper.benchmarks import Benchmark, benchmarks
from pixelword.generation.session import load
from pixelword.integrations.vlmevalkit import NAMES, register
from pixelword.processing.videos import load_video

EXAMPLES = Path(__file__).parents[2] / "examples"
CIRCLE, SQUARES = str(EXAMPLES / "red_circle.png"), str(EXAMPLES / "three_squares.png")
CLIP = str(EXAMPLES / "moving_right.mp4")
#: Data sets of videos, which VLMEvalKit knows by their classes.
VIDEOS = ("Video-MME", "MVBench", "LVBench", "MLVU_MCQ", "LongVideoBench", "VideoMMMU", "VSI-Bench", "MMSIVideoBench",
          "SiteBenchVideo")  # fmt: skip


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

    def dump_image(self, line: Any, dataset: str) -> Any:
        return self.dump_image_func(line)

    def generate(self, message: list[dict[str, Any]], dataset: str | None = None) -> str:
        assert all(item["type"] in self.allowed_types for item in message)
        return self.generate_inner(message, dataset)  # type: ignore[attr-defined, no-any-return]

    def chat(self, messages: list[dict[str, Any]], dataset: str | None = None) -> str:
        return self.chat_inner(messages, dataset=dataset)  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """made(name): the model as VLMEvalKit makes it from its table, with nano's weights."""
    for name in ("vlmeval", "vlmeval.dataset", "vlmeval.vlm", "vlmeval.vlm.base"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    modality = dict.fromkeys(VIDEOS, "VIDEO")
    monkeypatch.setattr(
        sys.modules["vlmeval.dataset"], "DATASET_MODALITY", lambda name: modality.get(name, "IMAGE"), raising=False
    )
    monkeypatch.setattr(sys.modules["vlmeval.vlm.base"], "BaseModel", BaseModel, raising=False)
    monkeypatch.delitem(sys.modules, "pixelword.integrations.vlmevalkit.model", raising=False)
    table: dict[str, Any] = {}
    register(table, {"2B": "nano"})
    models: list[Any] = []

    def make(name: str) -> Any:
        models.append(table[name]())
        return models[-1]

    yield make
    for model in models:
        model.close()
    sys.modules.pop("pixelword.integrations.vlmevalkit.model", None)


def asked(words: str, *pictures: str) -> list[dict[str, Any]]:
    return [*({"type": "image", "value": picture} for picture in pictures), {"type": "text", "value": words}]


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
    alone = [model.generate(question, dataset="MMStar") for question in questions]
    steps = model.engine.steps
    assert steps > 4 and len(set(alone)) == 2
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda item: model.generate(item, dataset="MMStar"), questions * 4))
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
    assert model.parts_of(clip) == [{"type": "video", "video": clip[0]["value"], "fps": 1.0}]
    for_data_set(model, nframe=0, fps=0.5)
    assert model.parts_of(clip)[0] == {"type": "video", "video": clip[0]["value"], "fps": 0.5}
    model.fps, model.nframe = 1.0, 256  # as it was made
    for_data_set(model, nframe=2, fps=-1)
    assert model.parts_of(clip)[0] == {"type": "video", "video": clip[0]["value"], "num_frames": 2}
    assert model.generate([*clip, *asked("which way does it move?")]) == "right"


def test_turns(made: Callable[[str], Any]) -> None:
    model = made("NEOov-2B-si")
    model.session.media = load("nano").media
    turns = [
        {"role": "user", "content": asked("what colour is the circle?", CIRCLE)},
        {"role": "assistant", "content": asked("red")},
        {"role": "user", "content": asked("what shape is it?")},
    ]
    assert model.chat(turns, dataset="MMDU") == "circle"


# the questions of the paper's suite


class DataSet:
    """VLMEvalKit's side of a data set: a table's pictures become files, a video's message is its own."""

    def __init__(self, name: str, folder: Path, words: str = "VLMEvalKit's own words") -> None:
        self.dataset_name, self.folder, self.words = name, folder, words

    def dump_image(self, line: dict[str, Any]) -> list[str]:
        paths = []
        for place, item in enumerate(line["image"] if isinstance(line["image"], list) else [line["image"]]):
            path = self.folder / f"{line['index']}_{place}.png"
            Image.open(io.BytesIO(base64.b64decode(item))).save(path)
            paths.append(str(path))
        return paths

    def build_prompt(self, line: dict[str, Any], video_llm: bool) -> list[dict[str, str]]:
        video = [CLIP]
        if not video_llm:  # frames are its pictures then
            video = [str(self.folder / f"frame-{place}-of-32.png") for place in range(32)]
            frames = load_video(CLIP, num_frames=32).frames
            video = video[: len(frames)]
            for frame, path in zip(frames, video, strict=True):
                frame.save(path)
        shown = [{"type": "video" if video_llm else "image", "value": item} for item in video]
        shown += [{"type": "image", "value": CIRCLE}] if isinstance(line.get("image"), str) else []
        line["question"] += " as some of them do"
        return [{"type": "text", "value": "Watch."}, *shown, {"type": "text", "value": self.words}]


def encoded_picture(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


def row_of(benchmark: Benchmark, **media: Any) -> dict[str, Any]:
    """A row as VLMEvalKit's table has it, fields that are empty as its reader of tables says that."""
    nan = float("nan")
    row = {"index": 7, "question": "Is <image> like <image 1>?", "hint": "Look.", "A": "red", "B": "blue", "C": nan}
    return {**row, "answer": "B", "split": "validation", "qid": "abcdefgh", **media}


def by_the_suite(model: Any, benchmark: Benchmark, row: dict[str, Any], folder: Path) -> Any:
    """The same row from a table, asked by the suite."""
    told = {name: "" if value != value else str(value) for name, value in row.items()}
    path = folder / f"{benchmark.id}.tsv"
    path.write_text("\t".join(told) + "\n" + "\t".join(told.values()) + "\n")
    asked = prompting.messages(files.rows((path,), benchmark)[0], benchmark)
    return model.session.processor.encode(asked, add_generation_prompt=True, media=benchmark.media())


def assert_same(ours: Any, theirs: Any, name: str) -> None:
    assert torch.equal(ours.input_ids, theirs.input_ids), name
    assert torch.equal(ours.image_grid_hw, theirs.image_grid_hw), name
    assert torch.equal(ours.pixel_values, theirs.pixel_values), name


def data_sets(setting: str, *, videos: bool) -> list[tuple[str, Benchmark]]:
    found = [
        (Path(file).stem, benchmark)
        for benchmark in benchmarks()
        if benchmark.setting.name == setting
        for file in benchmark.file
    ]
    return [(name, item) for name, item in found if (name in VIDEOS) is videos]


@pytest.mark.parametrize(("preset", "setting", "number"), [("image", "image", 12), ("si", "spatial", 10)])
def test_pictures_are_asked_as_by_the_suite(
    made: Callable[[str], Any], tmp_path: Path, preset: str, setting: str, number: int
) -> None:
    model, known = made(f"NEOov-2B-{preset}"), data_sets(setting, videos=False)
    assert len(known) == number
    for name, benchmark in known:
        assert model.use_custom_prompt(name), name
        model.set_dump_image(DataSet(name, tmp_path).dump_image)
        pictures = [encoded_picture(item) for item in (CIRCLE, SQUARES)]
        for image in (pictures[0], pictures):
            row = row_of(benchmark, image=image)
            message = model.build_prompt(row, dataset=name)
            assert all(set(item) == {"type", "value"} and isinstance(item["value"], str) for item in message)
            assert_same(model.prompt(message, dataset=name), by_the_suite(model, benchmark, row, tmp_path), name)


def test_videos_are_asked_as_by_the_suite(made: Callable[[str], Any], tmp_path: Path) -> None:
    model = made("NEOov-2B-video")
    (tmp_path / "clip.mp4").write_bytes(Path(CLIP).read_bytes())
    (tmp_path / "circle.png").write_bytes(Path(CIRCLE).read_bytes())
    numbered = [(name, item) for name, item in data_sets("video", videos=True) if item.frames]
    assert [name for name, _ in numbered] == ["MVBench", "MLVU_MCQ", "LongVideoBench", "VideoMMMU"]
    for name, benchmark in numbered:
        model.fps, model.nframe = 1.0, 256  # as it was made
        for_data_set(model, nframe=benchmark.frames or 0, fps=-1)
        assert model.use_custom_prompt(name)
        for image in ({"image": "circle.png"}, {}) if name == "VideoMMMU" else ({},):
            row = row_of(benchmark, video="clip.mp4", **image)
            message = model.build_prompt(row, dataset=DataSet(name, tmp_path), video_llm=True)
            assert row["question"] == "Is <image> like <image 1>?"  # the row is as it was
            assert_same(model.prompt(message, dataset=name), by_the_suite(model, benchmark, row, tmp_path), name)


def test_video_mme_is_asked_as_by_the_suite_from_its_own_words(made: Callable[[str], Any], tmp_path: Path) -> None:
    model, (benchmark,) = made("NEOov-2B-video"), benchmarks(["videomme"])
    (tmp_path / "clip.mp4").write_bytes(Path(CLIP).read_bytes())
    for_data_set(model, nframe=0, fps=1.0)
    assert not model.use_custom_prompt("Video-MME") and not model.use_custom_prompt("MLVU_MCQ")  # would end the run
    row = {
        "index": 0,
        "question": "Which way?",
        "candidates": "['A. left', 'B. right']",
        "answer": "B",
        "video": "clip",
    }
    told = ["", "\nThese are the frames of a video. Select the best answer to the following multiple-choice question "
            "based on the video. Respond with only the letter (A, B, C, or D) of the correct option.\n",
            "Question: Which way?\nA. left\nB. right\nAnswer: "]  # fmt: skip
    first, *rest = ({"type": "text", "value": item} for item in told)
    message = [first, {"type": "video", "value": CLIP}, *rest]
    assert_same(model.prompt(message, "Video-MME"), by_the_suite(model, benchmark, row, tmp_path), "Video-MME")


def test_frames_in_space_have_the_suites_labels_and_area(made: Callable[[str], Any], tmp_path: Path) -> None:
    model = made("NEOov-2B-si")
    (tmp_path / "clip.mp4").write_bytes(Path(CLIP).read_bytes())
    known = data_sets("spatial", videos=True)
    assert len(known) == 3
    for name, benchmark in known:
        row = row_of(benchmark, video="clip.mp4")
        message = model.build_prompt(row, dataset=DataSet(name, tmp_path), video_llm=False)
        assert_same(model.prompt(message, dataset=name), by_the_suite(model, benchmark, row, tmp_path), name)
    # to an API VLMEvalKit hands its own words, which for VSI-Bench are the suite's
    (vsi,) = benchmarks(["vsi"])
    row = {"index": 0, "question": "How many?", "answer": "2", "video": "clip.mp4", "question_type": "object_counting"}
    own = "These are frames of a video.\nHow many?\nAnswer briefly and directly in one float number."
    frames = DataSet("VSI-Bench", tmp_path).build_prompt(dict(row), video_llm=False)[1:-1]
    message = [*frames, {"type": "text", "value": own}]
    assert_same(model.prompt(message, "VSI-Bench"), by_the_suite(model, vsi, row, tmp_path), "VSI-Bench")


def test_what_the_suite_does_not_know_or_another_preset_asks_has_vlmevalkits_words(
    made: Callable[[str], Any], tmp_path: Path
) -> None:
    model = made("NEOov-2B-image")
    for name in ("MMMU_Pro", "BLINK", "VSI-Bench", "Video-MME"):
        assert not model.use_custom_prompt(name)
        message = [*asked("what colour is it?", CIRCLE), *asked("Answer: ")]
        turns = [
            {"role": "system", "content": "Reason step by step."},
            {"role": "user", "content": model.parts_of(message)},
        ]
        told = model.session.processor.encode(turns, add_generation_prompt=True, media=model.session.media)
        assert_same(model.prompt(message, dataset=name), told, name)
    model.set_dump_image(DataSet("BLINK", tmp_path).dump_image)
    with pytest.raises(InputError, match="BLINK is not asked with the preset image"):
        model.build_prompt(row_of(benchmarks(["blink"])[0], image=encoded_picture(CIRCLE)), dataset="BLINK")


def test_a_row_is_answered(made: Callable[[str], Any], tmp_path: Path) -> None:
    model = made("NEOov-2B-si")
    model.set_dump_image(DataSet("BLINK", tmp_path).dump_image)
    model.preset = type(model.preset)("si", None, model.preset.media, 8)
    row = row_of(benchmarks(["blink"])[0], image=[encoded_picture(CIRCLE), encoded_picture(SQUARES)])
    said = model.generate(model.build_prompt(row, dataset="BLINK"), dataset="BLINK")
    assert isinstance(said, str) and said

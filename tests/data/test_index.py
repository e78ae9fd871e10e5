"""The index: what it says of a sample is what `encode` gives, at any resolution, and it is made once."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelword.data.index import FRAME, PICTURE, VIDEO, Index
from pixelword.data.indexing import build_index, measured, open_indexes
from pixelword.data.packing.packer import Packer
from pixelword.data.recipe import DataRecipe, SourceRecipe
from pixelword.data.sources import Source, media_options, open_source
from pixelword.errors import MediaError
from pixelword.processing import MediaOptions, NeoOVImageProcessor, NeoOVProcessor, Video, smart_resize
from pixelword.processing.images import load_image
from pixelword.processing.resize import smart_resize_all
from pixelword.processing.token_counts import Outline, image_size, outline

ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def processor(tiny_tokenizer: Any) -> NeoOVProcessor:
    images = NeoOVImageProcessor(min_pixels=1024, max_pixels=16_384)
    return NeoOVProcessor(images, tiny_tokenizer, frame_max_pixels=4096, video_fps=2.0, video_max_frames=5)


def picture(width: int, height: int, form: str = "PNG", orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, form, exif=exif)
    return file.getvalue()


def write_video(path: Path, *, size: tuple[int, int], times: Sequence[int], rotation: int = 0) -> Path:
    """A frame at each of `times`, in milliseconds; encoded with frames out of order."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for k, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), k * 40 % 250, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Upright and turned, evenly and unevenly timed, longer and shorter than the frames asked for."""
    folder = tmp_path_factory.mktemp("clips")
    return [
        write_video(folder / "even.mp4", size=(96, 48), times=range(0, 4000, 40)),
        write_video(folder / "uneven.mkv", size=(50, 90), times=[0, 100, 900, 1000, 5000]),
        write_video(folder / "short.mp4", size=(32, 32), times=[0]),
    ]


def asked(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}, {"role": "assistant", "content": "Yes, <box>1</box>."}]


# Property: the index of a sample is its encoding

PICTURES = st.builds(
    picture, st.integers(1, 400), st.integers(1, 300), st.sampled_from(["PNG", "JPEG"]), st.none()
).map(lambda data: {"type": "image", "image": data})
WORDS = st.text(max_size=20).map(lambda text: {"type": "text", "text": text})
FRAMES = st.builds(
    lambda sizes, fps: {"type": "video", "video": [picture(*size) for size in sizes], **({"fps": fps} if fps else {})},
    st.lists(st.tuples(st.integers(4, 200), st.integers(4, 200)), min_size=1, max_size=4),
    st.sampled_from([None, 1, 2.5]),
)
FRAMED = st.builds(
    lambda sizes: {"type": "video", "video": Video(tuple(Image.new("RGB", s) for s in sizes), (), 0.0)},
    st.lists(st.tuples(st.integers(4, 200), st.integers(4, 200)), min_size=1, max_size=3),
)
BUDGETS = st.tuples(st.sampled_from([None, 1024, 3000]), st.sampled_from([None, 3000, 8192, 40_000]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.lists(st.one_of(PICTURES, PICTURES, WORDS, FRAMES, FRAMED), max_size=5), budget=BUDGETS, data=st.data())
def test_an_index_says_what_encode_gives(
    processor: NeoOVProcessor, clips: list[Path], parts: list[Any], budget: tuple[Any, Any], data: st.DataObject
) -> None:
    if data.draw(st.integers(0, 5)) == 0:
        count = data.draw(st.sampled_from([{}, {"num_frames": 3}, {"fps": 25}]))
        parts = [*parts, {"type": "video", "video": data.draw(st.sampled_from(clips)), **count}]
    try:
        expected = processor.encode(asked(*parts), min_pixels=budget[0], max_pixels=budget[1])
    except MediaError:  # longer than 200:1
        with pytest.raises(MediaError):
            outline(processor, asked(*parts), MediaOptions())
        return
    index = indexed(processor, asked(*parts))
    found = index.lengths(processor, MediaOptions(min_pixels=budget[0], max_pixels=budget[1]))
    packer = Packer(1, len(expected), 0)
    packer.add(expected)
    pack = packer.pack()
    assert found.tokens[0] == len(expected) == pack.tokens
    assert found.patches[0] == len(expected.pixel_values)
    assert found.pairs[0] == pack.pairs
    assert index.answer_tokens[0] == (expected.labels != -100).sum()
    # a budget of its own for each sample is the same as one for all
    if budget[1] is not None:
        own = index.lengths(processor, MediaOptions(min_pixels=budget[0]), np.array([budget[1]]))
        assert own.tokens[0] == found.tokens[0]


def indexed(processor: NeoOVProcessor, *conversations: Any) -> Index:
    """The index of conversations, as `build_index` lays it out."""
    from pixelword.data.indexing import _table

    table = _table(
        iter([outline(processor, conversation, MediaOptions()) for conversation in conversations]), len(conversations)
    )
    return Index(**table.arrays, faults={})


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9000), st.integers(1, 9000)), min_size=1, max_size=20),
    bounds=st.tuples(st.integers(1, 3_000_000), st.integers(1, 3_000_000)),
)
def test_sizes_of_many_pictures_at_once(sizes: list[tuple[int, int]], bounds: tuple[int, int]) -> None:
    low, high = sorted(bounds)
    even = [size for size in sizes if max(size) <= 200 * min(size)]
    expected = [smart_resize(*size, min_pixels=low, max_pixels=high) for size in even]
    found = smart_resize_all(np.array(even).reshape(-1, 2), min_pixels=low, max_pixels=high)
    assert found.tolist() == [list(size) for size in expected]


# Whatever stands in a file is an outline or one line

NAMES = ["messages", "conversations", "texts", "text", "caption", "image", "images", "video", "videos", "system"]
KEYS = [
    *NAMES,
    "role",
    "content",
    "from",
    "value",
    "type",
    "path",
    "url",
    "base64",
    "bytes",
    "fps",
    "user",
    "assistant",
]
LEAVES = st.one_of(
    st.sampled_from([*KEYS, "gpt", "human", "<image>", "<video>", "text", "a.png", "data:", "\ud800", "\0", "", None]),
    st.integers(),
    st.booleans(),
    st.floats(),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)
TURN = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": JSON})


@settings(max_examples=300, deadline=None)
@given(values=JSON | st.fixed_dictionaries({"messages": st.lists(TURN, max_size=3), "images": JSON}))
def test_no_sample_ends_an_index(
    tmp_path_factory: pytest.TempPathFactory, processor: NeoOVProcessor, values: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "wild.jsonl").write_text(json.dumps(values) + "\n{}\n")
    source = open_source("wild", SourceRecipe(path=str(folder / "wild.jsonl")), folder / "wild-index")
    for i in range(len(source)):
        found = measured(source, i, processor, MediaOptions())
        assert isinstance(found, Outline) or (found.startswith(source.where(i)) and "\n" not in found)


# Headers

FORMS = ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", [None, 1, 3, 5, 6, 7, 8])
def test_the_size_of_a_picture_is_that_of_the_upright_one(form: str, orientation: int | None) -> None:
    data = picture(40, 20, form, orientation)
    assert image_size(data) == load_image(data).size[::-1]


def test_orientation_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    data = picture(40, 20, "PNG", 6)
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    late = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    assert image_size(late) == load_image(late).size[::-1] == (40, 20)


def test_no_picture_is_decoded_for_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageFile

    def refuse(self: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    for form in FORMS:
        assert image_size(picture(40, 20, form)) == (20, 40)


@pytest.mark.parametrize("rotation", [0, 90, 180])
def test_turned_videos(tmp_path: Path, processor: NeoOVProcessor, rotation: int) -> None:
    clip = write_video(tmp_path / "a.mp4", size=(96, 48), times=range(0, 1000, 100), rotation=rotation)
    messages = asked({"type": "video", "video": clip})
    (medium,) = outline(processor, messages, MediaOptions()).media
    assert (medium.height, medium.width) == ((96, 48) if rotation == 90 else (48, 96))
    assert indexed(processor, messages).lengths(processor).tokens[0] == len(processor.encode(messages))


# Sources

PNG_TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Red."}]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Three samples, two of them faulty: no such picture, and a line that is cut off."""
    (tmp_path / "a.png").write_bytes(picture(64, 32))
    rows = [json.dumps({"image": name, "conversations": PNG_TURNS}) for name in ("a.png", "b.png", "a.png")]
    (tmp_path / "s.jsonl").write_text("\n".join([*rows[:2], rows[2][:-9]]))
    return open_source("s", SourceRecipe(path=str(tmp_path / "s.jsonl")), tmp_path / "index")


@pytest.fixture
def build(tmp_path: Path, processor: NeoOVProcessor) -> Callable[..., Index]:
    return lambda source, **options: build_index(source, processor, folder=tmp_path / "index", **options)


def tables(tmp_path: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (tmp_path / "index").glob("*-index-*/*.npy")}


def test_faults_are_told_by_place_and_their_samples_left_empty(source: Source, build: Callable[..., Index]) -> None:
    index = build(source)
    assert index.usable.tolist() == [True, False, False]
    assert index.faults[1].startswith("s.jsonl:2: ") and "b.png: no such file" in index.faults[1]
    assert index.faults[2].startswith("s.jsonl:3: not JSON")
    assert index.text_tokens[1:].tolist() == [0, 0]
    assert index.offsets.tolist() == [0, 1, 1, 1]
    assert (index.sizes.tolist(), index.kinds.tolist()) == ([[32, 64]], [PICTURE])


def test_an_index_is_made_once(tmp_path: Path, source: Source, build: Callable[..., Index]) -> None:
    build(source)
    before = tables(tmp_path)
    build(source)
    assert before and tables(tmp_path) == before
    build(source, rebuild=True)
    assert tables(tmp_path).keys() == before.keys() and tables(tmp_path) != before


def test_a_picture_that_was_missing_is_found(tmp_path: Path, source: Source, build: Callable[..., Index]) -> None:
    assert len(build(source).faults) == 2
    (tmp_path / "b.png").write_bytes(picture(10, 10))
    assert list(build(source).faults) == [2]


def test_another_tokenizer_or_sampling_has_an_index_of_its_own(
    tmp_path: Path, source: Source, processor: NeoOVProcessor
) -> None:
    from transformers import PreTrainedTokenizerFast

    backend = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    backend["model"]["merges"] = [["R", "e"]]
    backend["model"]["vocab"]["Re"] = max(backend["model"]["vocab"].values()) + 100
    from tokenizers import Tokenizer

    other = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(backend)))
    folder = tmp_path / "index"
    plain = build_index(source, processor, folder=folder)
    merged = build_index(source, NeoOVProcessor(processor.image_processor, other), folder=folder)
    build_index(source, processor, MediaOptions(fps=4), folder=folder)
    assert merged.answer_tokens[0] == plain.answer_tokens[0] - 1
    assert len({path.parent for path in tables(tmp_path)}) == 3
    # resolution is no part of it
    build_index(source, processor, MediaOptions(max_pixels=2048), folder=folder)
    assert len({path.parent for path in tables(tmp_path)}) == 3


def test_several_processes_make_the_same_index(tmp_path: Path, build: Callable[..., Index]) -> None:
    pictures = [picture(1 + k, 30) for k in range(50)]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for i in range(600):  # more than two chunks
            data = {"png": pictures[i % 50], "txt": b"word " * (i % 7)}
            for ending, content in data.items():
                entry = tarfile.TarInfo(f"{i:04d}.{ending}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    source = open_source("t", SourceRecipe(path=str(tmp_path / "a.tar")), tmp_path / "index")
    seen: list[tuple[str, int, int]] = []
    alone = build(source, workers=0, progress=lambda *told: seen.append(told))
    shared = build(source, workers=2, rebuild=True)
    assert seen == [("t", 256, 600), ("t", 512, 600), ("t", 600, 600)]
    for name in ("text_tokens", "answer_tokens", "offsets", "sizes", "kinds", "counts"):
        assert np.array_equal(getattr(alone, name), getattr(shared, name))
    assert alone.faults == shared.faults and len(alone.faults) == 86  # captions of no words


def test_a_build_that_is_stopped_leaves_nothing(tmp_path: Path, source: Source, build: Callable[..., Index]) -> None:
    def stop(*told: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(source, progress=stop)
    assert not tables(tmp_path)
    assert not [path for path in (tmp_path / "index").glob(".*") if path.is_dir()]
    assert len(build(source)) == 3


def test_the_sources_of_a_recipe(tmp_path: Path, source: Source, processor: NeoOVProcessor) -> None:
    path = str(source.files[0])
    data = DataRecipe(
        sources={"one": SourceRecipe(path=path), "two": SourceRecipe(path=path, limit=2)},
        length=64,
        index=tmp_path / "index",
        fps=3,
        max_pixels=2048,
    )
    sources, indexes = open_indexes(data, processor)
    assert {name: (len(sources[name]), len(indexes[name])) for name in data.sources} == {"one": (3, 3), "two": (2, 2)}
    assert media_options(data) == MediaOptions(max_pixels=2048, fps=3)


def test_taking_rows(processor: NeoOVProcessor, clips: list[Path]) -> None:
    item = asked({"type": "image", "image": picture(64, 64)})
    two = asked({"type": "image", "image": picture(32, 96)}, {"type": "image", "image": picture(96, 96)})
    three = asked({"type": "video", "video": clips[0]})
    four = asked({"type": "video", "video": [picture(20, 30)]})
    index = indexed(processor, item, two, asked(), three, four)
    rows = np.array([4, 3, 1, 2, 1])
    taken = index.take(rows)
    for name in ("tokens", "patches", "pairs"):
        assert np.array_equal(getattr(taken.lengths(processor), name), getattr(index.lengths(processor), name)[rows])
    assert taken.kinds.tolist() == [FRAME, VIDEO, PICTURE, PICTURE, PICTURE, PICTURE]
    faulty = Index(index.text_tokens, index.answer_tokens, *index_media(index), faults={3: "why"})
    assert faulty.take(rows).faults == {1: "why"}


def index_media(index: Index) -> tuple[np.ndarray, ...]:
    return index.offsets, index.sizes, index.kinds, index.counts


def test_a_sample_costs_the_same_among_a_hundred_thousand(processor: NeoOVProcessor) -> None:
    rng = np.random.default_rng(0)
    media = rng.integers(0, 3, 100_000)
    index = Index(
        rng.integers(1, 100, 100_000, dtype=np.int32),
        rng.integers(1, 50, 100_000, dtype=np.int32),
        np.concatenate([[0], np.cumsum(media)]),
        rng.integers(20, 500, (media.sum(), 2), dtype=np.int32),
        rng.integers(0, 3, media.sum(), dtype=np.uint8),
        np.ones(media.sum(), np.int32),
        {},
    )
    some = np.sort(rng.choice(100_000, 50, replace=False))
    whole, part = index.lengths(processor), index.take(some).lengths(processor)
    assert np.array_equal(whole.tokens[some], part.tokens)
    assert np.array_equal(whole.pairs[some], part.pairs)


def test_pipes_are_refused_not_waited_for(tmp_path: Path, build: Callable[..., Index]) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "s.jsonl").write_text(json.dumps({"image": "a.png", "conversations": PNG_TURNS}))
    source = open_source("s", SourceRecipe(path=str(tmp_path / "s.jsonl")), tmp_path / "index")
    assert "a.png: a pipe or a device" in build(source).faults[0]

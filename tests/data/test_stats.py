"""Numbers of a source: from its index as from its encoded samples, and how they are summed up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelword.data.index import PICTURE, VIDEO, Index
from pixelword.data.stats import (
    Measures,
    Spread,
    edges_for,
    histogram,
    measure_encoded,
    measure_index,
    packs_report,
    report,
)
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor


@pytest.fixture(scope="module")
def processor(tiny_tokenizer: Any) -> NeoOVProcessor:
    return NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=16384), tiny_tokenizer)


SIZES = [[(64, 64)], [(300, 200), (32, 96)], []]  # (width, height) of the pictures of three samples


def messages(sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    pictures = [{"type": "image", "image": Image.new("RGB", size)} for size in sizes]
    question = {"role": "user", "content": [*pictures, {"type": "text", "text": "what?"}]}
    return [question, {"role": "assistant", "content": "red"}]


def index_of(processor: NeoOVProcessor) -> Index:
    """The index of the three samples, and of a fourth that cannot be read."""
    encoded = [processor.encode(messages(sizes)) for sizes in SIZES]
    flat = [(height, width) for sizes in SIZES for width, height in sizes]
    return Index(
        text_tokens=np.array([int((item.mm_token_type_ids == 0).sum()) for item in encoded] + [0], np.int32),
        answer_tokens=np.array([int((item.labels >= 0).sum()) for item in encoded] + [0], np.int32),
        offsets=np.array([0, 1, 3, 3, 3]),
        sizes=np.array(flat, np.int32),
        kinds=np.full(3, PICTURE, np.uint8),
        counts=np.ones(3, np.int32),
        faults={3: "broken"},
    )


def test_an_index_tells_the_same_as_the_samples_themselves(processor: NeoOVProcessor) -> None:
    by_index = measure_index(index_of(processor), processor)
    by_sample = measure_encoded((processor.encode(messages(sizes)) for sizes in SIZES), 16)
    for name in ("tokens", "answers", "pictures", "sizes"):
        assert np.array_equal(getattr(by_index, name), getattr(by_sample, name)), name
    assert by_index.faults == 1 and by_sample.faults == 0
    assert by_index.given is not None and by_index.given.tolist() == [[64, 64], [200, 300], [96, 32]]
    assert by_sample.pictures.tolist() == [1, 2, 0]


def test_a_video_counts_as_its_frames(processor: NeoOVProcessor) -> None:
    index = Index(
        np.array([9, 9]), np.array([2, 2]), np.array([0, 1, 1]), np.array([[64, 96]]), np.array([VIDEO], np.uint8),
        np.array([5]), {},
    )  # fmt: skip
    measured = measure_index(index, processor)
    assert measured.videos == 1 and measured.pictures.tolist() == [5, 0]
    assert measured.sizes.tolist() == [[64, 96]] * 5


def test_report_of_two_sources(processor: NeoOVProcessor) -> None:
    pictures = measure_index(index_of(processor), processor)
    words = Measures(np.array([3, 5]), np.array([1, 1]), np.zeros(2, int), np.zeros((0, 2), int))
    found = report({"pictures": pictures, "words": words}, {"pictures": 3, "words": 1}, 32)
    first, second = found.sources
    assert (first.weight, second.weight) == (0.75, 0.25)
    assert (first.samples, first.words_only, first.faults) == (3, 1, 1)
    assert second.words_only == 2 and second.kept is None and second.sizes == ()
    assert first.lengths.edges == second.lengths.edges
    assert sum(first.lengths.counts) == 3 and sum(second.lengths.counts) == 2
    visual = sum(int(height * width) // 1024 for height, width in pictures.sizes)
    assert first.visual_share == pytest.approx(visual / pictures.tokens.sum())
    areas, given = pictures.sizes.prod(1), pictures.given.prod(1)  # type: ignore[union-attr]
    assert first.kept == pytest.approx(float((areas / given).mean()))
    assert (64, 64, 1) in first.sizes


def test_a_source_without_any_usable_sample_is_told_of() -> None:
    nothing = Measures(np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2), int), faults=4)
    (only,) = report({"bad": nothing}, {"bad": 1}, 32).sources
    assert (only.samples, only.faults, only.tokens.most) == (0, 4, 0)


@pytest.mark.parametrize(
    "values", [np.array([7]), np.arange(20, 100), np.array([1, 2, 40_000]), np.array([3, 3, 3]), np.zeros(0, int)]
)
def test_every_value_falls_into_one_bin(values: np.ndarray) -> None:
    edges = edges_for(values)
    assert list(edges) == sorted(set(edges)) and len(edges) <= 11
    assert sum(histogram(values, edges).counts) == values.size


def test_spread_of_known_values() -> None:
    spread = Spread.of(np.arange(101))
    assert (spread.least, spread.low, spread.median, spread.high, spread.most) == (0, 10, 50, 90, 100)
    assert (spread.count, spread.total, spread.mean) == (101, 5050, 50)


def test_padding_and_unevenness_of_packs() -> None:
    found = packs_report([90, 70], [3, 2], [400, 200], 200, faults=1)
    assert found.padding == pytest.approx(0.2)
    assert found.uneven == pytest.approx(400 / 300)
    assert (found.packs, found.room, found.documents.mean, found.faults) == (2, 200, 2.5, 1)

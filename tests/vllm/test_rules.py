"""What the plugin refuses, and the small rules that attention and scheduling rest on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.multimodal.inputs import PlaceholderRange

from pixelword.errors import CheckpointError, InputError
from pixelword.integrations.vllm import _check_version, register
from pixelword.integrations.vllm.attention import stretches
from pixelword.integrations.vllm.configuration import check_folder, check_parallel, check_steps
from pixelword.integrations.vllm.scheduling import without_cut_picture
from pixelword.model import NeoOVConfig


@pytest.mark.parametrize(
    ("start", "end", "pictures", "expected"),
    [
        (0, 5, [], [(5, 5, True)]),
        (7, 8, [(1, 3)], [(1, 8, True)]),  # decoding
        (0, 9, [(2, 4), (6, 7)], [(2, 2, True), (3, 5, False), (1, 6, True), (2, 8, False), (1, 9, True)]),
        (3, 9, [(2, 4)], [(2, 5, False), (4, 9, True)]),  # the cached prefix ends inside a picture
        (0, 5, [(0, 4)], [(5, 5, False)]),
        (4, 6, [(0, 3), (6, 9)], [(2, 6, True)]),
        (4, 4, [(0, 3)], [(0, 4, True)]),  # a request that is there without a token
    ],
)
def test_stretches(start: int, end: int, pictures: Any, expected: Any) -> None:
    assert stretches(start, end, pictures) == expected
    assert sum(queries for queries, *_ in expected) == end - start


def test_a_cut_picture_is_an_error_and_not_a_wrong_answer() -> None:
    with pytest.raises(RuntimeError, match=r"image at 2..6 was cut at 5"):
        stretches(0, 5, [(2, 6)])


def feature(offset: int, marks: list[bool]) -> Any:
    import torch

    return SimpleNamespace(mm_position=PlaceholderRange(offset, len(marks), torch.tensor(marks)))


@pytest.mark.parametrize(
    ("computed", "new", "expected"),
    [
        (0, 2, 2),
        (0, 3, 3),
        (0, 4, 3),
        (0, 5, 3),
        (0, 6, 6),
        (0, 8, 8),
        (0, 9, 8),
        (4, 1, 0),
        (4, 2, 2),
        (4, 7, 7),
        (0, 0, 0),
    ],
)
def test_chunks_end_beside_pictures(computed: int, new: int, expected: int) -> None:
    # place: 0 1 | 2 <img>, 3 4 5 visual, 6 7 label, 8 9 visual, 10 </img>
    video = feature(2, [False, True, True, True, False, False, True, True, False])
    assert without_cut_picture([video], computed, new) == expected
    assert without_cut_picture([], computed, new) == new


def test_ranks_must_divide_heads() -> None:
    config = NeoOVConfig(llm_config={"num_attention_heads": 8, "num_key_value_heads": 2})
    check_parallel(config, 2)
    with pytest.raises(InputError, match=r"--tensor-parallel-size 4 does not divide 8 heads and 2 key heads"):
        check_parallel(config, 4)


def test_steps_must_hold_the_largest_picture() -> None:
    check_steps(16, SimpleNamespace(max_num_batched_tokens=16, long_prefill_token_threshold=0))
    with pytest.raises(InputError, match=r"--max-num-batched-tokens 15 .* 16 tokens.*\"max_pixels\": 15360"):
        check_steps(16, SimpleNamespace(max_num_batched_tokens=15, long_prefill_token_threshold=0))
    with pytest.raises(InputError, match=r"--long-prefill-token-threshold 8"):
        check_steps(16, SimpleNamespace(max_num_batched_tokens=64, long_prefill_token_threshold=8))


def test_a_delta_is_not_a_whole_checkpoint(tmp_path: Any) -> None:
    check_folder(str(tmp_path))
    (tmp_path / "delta.json").write_text("{}")
    with pytest.raises(CheckpointError, match="pixelword convert"):
        check_folder(str(tmp_path))


def test_versions() -> None:
    register()
    register()
    for version in ("0.32.0", "0.32.4", "0.32.1rc1"):
        _check_version(version)
    for version in ("0.31.9", "0.33.0", "1.0"):
        with pytest.raises(ImportError, match=f"this is {version}"):
            _check_version(version)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_num_batched_tokens": 15}, "--max-num-batched-tokens 15"),
        ({"tensor_parallel_size": 4}, "--tensor-parallel-size 4"),
        ({"mm_processor_kwargs": {"max_pixels": 1 << 20}}, "largest image's 1024 tokens"),
    ],
)
def test_an_engine_is_refused(engine: Any, nano_folder: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine(nano_folder, **options)

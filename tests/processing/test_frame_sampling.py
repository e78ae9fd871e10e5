"""A budget of frames goes where a video changes; without one, nothing is different."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pixelword.errors import InputError
from pixelword.processing import NeoOVProcessor
from pixelword.processing.frame_sampling import chosen, spend
from pixelword.processing.options import MediaOptions
from pixelword.processing.token_counts import outline
from pixelword.processing.videos import Video


def clip(places: list[int]) -> Video:
    """A square 16 pixels wide at these places, one frame a second."""
    frames = []
    for place in places:
        picture = Image.new("RGB", (128, 64), "grey")
        picture.paste((200, 30, 30), (place, 24, place + 16, 40))
        frames.append(picture)
    return Video(tuple(frames), tuple(float(number) for number in range(len(frames))), float(len(frames)))


#: Forty seconds of which four move.
REST_AND_MOVE = clip([0] * 20 + [24, 48, 72, 96] + [96] * 16)


def asked(video: Any) -> list[dict]:
    return [
        {"role": "user", "content": [{"type": "video", "video": video}, {"type": "text", "text": "which way?"}]},
    ]


def test_frames_are_kept_where_something_moves() -> None:
    kept = spend(REST_AND_MOVE, 8)
    assert len(kept.frames) == 8
    assert {19.0, 20.0, 21.0, 22.0, 23.0} - set(kept.timestamps) in (set(), {19.0})  # all steps of the way
    assert kept.timestamps[0] == 0.0 and kept.timestamps[-1] == 39.0
    assert list(kept.timestamps) == sorted(set(kept.timestamps))
    assert kept.duration == REST_AND_MOVE.duration


def test_what_moves_throughout_or_not_at_all_is_spread_evenly() -> None:
    even = np.linspace(0, 39, 5)
    for video in (clip([2 * place for place in range(40)]), clip([0] * 40)):
        assert np.abs(np.array(spend(video, 5).timestamps) - even).max() <= 2


def test_a_cut_takes_one_share() -> None:
    change = np.array([1.0] * 10 + [500.0] + [1.0] * 10)
    kept = chosen(change, 6)
    assert any(place <= 10 < following for place, following in pairwise(kept))
    assert sum(1 < place < 10 for place in kept) >= 1 and sum(12 < place < 20 for place in kept) >= 1


def test_noise_is_no_change() -> None:
    random = np.random.default_rng(0)
    noisy = [Image.fromarray(random.integers(90, 98, (64, 128, 3), dtype=np.uint8)) for _ in range(20)]
    noisy[10:] = [Image.fromarray(random.integers(150, 158, (64, 128, 3), dtype=np.uint8)) for _ in range(10)]
    kept = spend(Video(tuple(noisy), tuple(map(float, range(20))), 20.0), 4).timestamps
    assert 9.0 in kept or 10.0 in kept


@pytest.mark.parametrize("budget", [1, 2, 7, 39, 40, 100])
def test_never_more_than_the_budget(budget: int) -> None:
    assert len(spend(REST_AND_MOVE, budget).frames) == min(budget, 40)


def test_without_a_budget_or_below_it_nothing_changes(processor: NeoOVProcessor) -> None:
    assert spend(REST_AND_MOVE, None) is REST_AND_MOVE and spend(REST_AND_MOVE, 40) is REST_AND_MOVE
    plain = processor.encode(asked(REST_AND_MOVE))
    assert torch.equal(processor.encode(asked(REST_AND_MOVE), frame_budget=40).input_ids, plain.input_ids)


def test_the_prompt_says_the_times_that_were_kept(processor: NeoOVProcessor) -> None:
    encoded = processor.encode(asked(REST_AND_MOVE), frame_budget=8)
    assert len(encoded.image_grid_hw) == 8
    words = processor.tokenizer.decode(encoded.input_ids)
    assert "[00:00-00:40]" in words and "a series of 8 frames sampled at 0.2 FPS" in words and "[00:22.00]:" in words


def test_the_outline_counts_what_is_encoded(processor: NeoOVProcessor) -> None:
    encoded = processor.encode(asked(REST_AND_MOVE), frame_budget=8)
    seen = outline(processor, asked(REST_AND_MOVE), MediaOptions(frame_budget=8))
    assert len(seen.media) == 8
    assert seen.text_tokens == int((encoded.mm_token_type_ids == 0).sum())


def test_of_a_file_more_frames_are_looked_at_than_kept(processor: NeoOVProcessor, make_video: Any) -> None:
    path = make_video("long.mp4", [250 * number for number in range(40)])
    plain = processor.encode(asked(path), fps=4)
    kept = processor.encode(asked(path), fps=4, frame_budget=5)
    assert (len(plain.image_grid_hw), len(kept.image_grid_hw)) == (40, 5)
    seen = outline(processor, asked(path), MediaOptions(fps=4, frame_budget=5))
    assert seen.text_tokens == int((kept.mm_token_type_ids == 0).sum())


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="frame_budget is 0"):
        spend(REST_AND_MOVE, 0)

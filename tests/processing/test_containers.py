"""Containers × situations, against frames that carry their own number: the right frames, at the right times."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from pixelword.errors import MediaError
from pixelword.processing import videos
from pixelword.processing.videos import load_video, video_outline

_spec = importlib.util.spec_from_file_location("clips", Path(__file__).with_name("clips.py"))
assert _spec is not None and _spec.loader is not None
clips = importlib.util.module_from_spec(_spec)
sys.modules["clips"] = clips
_spec.loader.exec_module(clips)

FRAMES = 8
# Muxers that cannot write it: an edit list (fragments have none), or sound that the picture does not wait for.
EDITED = ("mp4", "mp4 index first", "mp4 hevc", "mov", "mov prores")
SITUATIONS = [
    *((name, {}) for name in clips.FORMS),
    *((name, {"sound": seconds}) for name, form in clips.FORMS.items() if form.sound for seconds in (8.0, 1.0)),
    *((name, {"start": 3600.0}) for name, form in clips.FORMS.items() if form.can_start_late),
    *((name, {"cut_in": 25}) for name in EDITED),
]


def title(value: object) -> str:
    return " ".join(f"{key} {item:g}" for key, item in value.items()) if isinstance(value, dict) else str(value)


@pytest.mark.parametrize(("name", "situation"), SITUATIONS, ids=title)
def test_frames_are_spread_over_the_picture_and_have_their_own_times(name: str, situation: dict) -> None:
    content = clips.clip(name, **situation)
    first = situation.get("cut_in", 0)
    count = clips.COUNT - first
    video = load_video(content, num_frames=FRAMES)
    numbers = [clips.number_of(frame) for frame in video.frames]
    assert numbers == [first + index * count // FRAMES for index in range(FRAMES)]
    assert video.timestamps == pytest.approx([(number - first) / clips.RATE for number in numbers], abs=0.003)
    assert video.duration == pytest.approx(count / clips.RATE, abs=0.003)
    outline = video_outline(content, num_frames=FRAMES)
    assert (outline.timestamps, outline.duration) == (video.timestamps, video.duration)


@pytest.mark.parametrize("name", clips.FORMS)
def test_seeking_shows_what_reading_on_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "SEEK_GAP", 0)
    video = load_video(clips.clip(name), num_frames=3)
    numbers = [clips.number_of(frame) for frame in video.frames]
    assert numbers == [0, 33, 66]


@pytest.mark.parametrize("name", clips.FORMS)
def test_a_recording_cut_off_shows_what_it_holds_or_is_refused_in_a_line(name: str) -> None:
    whole = clips.clip(name, sound=4.0 if clips.FORMS[name].sound else 0.0)
    for share in (0.05, 0.2, 0.4, 0.6, 0.8):
        try:
            video = load_video(whole[: int(len(whole) * share)], num_frames=FRAMES)
        except MediaError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
            continue
        assert video.duration <= clips.COUNT / clips.RATE + 0.05
        # the last packet may hold a part of a frame, which a decoder fills with the one before
        numbers = [clips.number_of(frame) for frame in video.frames][:-1]
        assert numbers == sorted(set(numbers))
        for number, seconds in zip(numbers, video.timestamps, strict=False):
            assert seconds == pytest.approx(number / clips.RATE, abs=0.003)

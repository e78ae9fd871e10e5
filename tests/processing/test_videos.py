"""Videos are read by their real times, upright, without decoding what is not wanted."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pixelword.errors import InputError, MediaError
from pixelword.processing import Limits, Video, frames_to_video, load_video
from pixelword.processing.videos import clock, frame_label, header

Write = Callable[..., Path]


def grey_at(index: int) -> int:
    return index * 7 % 200 + 20


def indices(video: Video) -> list[set[int]]:
    """For each frame, the indices a frame of its brightness may have."""
    seen = [frame.getpixel((frame.width // 2, frame.height // 2))[1] for frame in video.frames]
    return [{index for index in range(200) if abs(grey_at(index) - value) <= 3} for value in seen]


def test_one_frame_a_second(make_video: Write) -> None:
    video = load_video(make_video("a.mp4", range(0, 5000, 100)))
    assert video.timestamps == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert video.duration == pytest.approx(5.0, abs=0.1)
    assert all(index in found for index, found in zip((0, 10, 20, 30, 40), indices(video), strict=True))


def test_sampling_by_rate_cap_and_count(make_video: Write) -> None:
    path = make_video("a.mp4", range(0, 5000, 100))
    assert len(load_video(path, fps=2).frames) == 10
    assert load_video(path, max_frames=2).timestamps == pytest.approx((0.0, 2.4), abs=0.1)
    assert len(load_video(path, num_frames=4).frames) == 4
    assert len(load_video(path, num_frames=4, fps=10, max_frames=2).frames) == 4
    assert len(load_video(path, fps=1000, max_frames=5000).frames) == 50  # every frame, and none twice
    assert len(load_video(path, fps=10, limits=Limits(max_frames=3)).frames) == 3
    for wrong in ({"fps": 0}, {"num_frames": 0}, {"max_frames": -1}, {"fps": float("nan")}):
        with pytest.raises(InputError, match="above 0"):
            load_video(path, **wrong)


def test_variable_frame_rate_shows_what_was_on_screen(make_video: Write) -> None:
    video = load_video(make_video("a.mkv", [0, 100, 200, 3000, 3100, 7000]))
    assert video.timestamps == (0.0, 0.2, 3.0, 3.1, 7.0)
    assert all(index in found for index, found in zip((0, 2, 3, 4, 5), indices(video), strict=True))


def test_times_count_from_the_start(make_video: Write) -> None:
    video = load_video(make_video("a.mkv", [5000, 5500, 6000, 6500]), fps=2)
    assert video.timestamps[0] == 0.0
    assert video.timestamps == pytest.approx((0.0, 0.5, 1.0, 1.5), abs=0.01)


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-2, 1)), (270, (1, -2)), (180, (-2, -2))])
def test_rotation_is_honoured(make_video: Write, rotation: int, corner: tuple[int, int]) -> None:
    frame = load_video(make_video("a.mp4", [0, 500], rotation=rotation)).frames[0]
    assert frame.size == ((64, 48) if rotation == 180 else (48, 64))
    red, green, blue = frame.getpixel((corner[0] % frame.width, corner[1] % frame.height))
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_seeking_finds_the_same_frames_as_reading_on(make_video: Write, name: str) -> None:
    path = make_video(name, range(0, 60_000, 100), key_frame_every=20)
    far = load_video(path, max_frames=6)
    assert far.timestamps == pytest.approx([0, 10, 20, 30, 40, 50], abs=0.2)
    every = load_video(path, fps=10, max_frames=1000)
    assert len(every.frames) == 600
    at = {round(time, 2): frame for time, frame in zip(every.timestamps, every.frames, strict=True)}
    for time, frame in zip(far.timestamps, far.frames, strict=True):
        assert frame.tobytes() == at[round(time, 2)].tobytes()


def test_a_long_video_is_not_decoded_whole(make_video: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from pixelword.processing import videos

    decoded = 0
    original = videos._Reader._frames

    def counting(reader: videos._Reader):  # type: ignore[no-untyped-def]
        nonlocal decoded
        for item in original(reader):
            decoded += 1
            yield item

    monkeypatch.setattr(videos._Reader, "_frames", counting)
    path = make_video("long.mp4", range(0, 200_000, 100), key_frame_every=20)
    assert len(load_video(path, max_frames=5).frames) == 5
    assert decoded < 200
    decoded = 0
    sparse = make_video("sparse.mp4", range(0, 200_000, 100), key_frame_every=2000, **{"movflags": "faststart"})
    assert len(load_video(sparse, max_frames=20).frames) == 20
    assert decoded < 5000  # far key frames make seeking useless: then the file is read on, not over and over


def test_broken_tail_keeps_what_is_readable(make_video: Write) -> None:
    path = make_video("a.mp4", range(0, 60_000, 100), key_frame_every=20, **{"movflags": "faststart"})
    data = path.read_bytes()
    whole, half = load_video(data), load_video(data[: len(data) * 7 // 10])
    assert len(whole.frames) == 60
    assert 10 < len(half.frames) < 50
    assert half.timestamps == whole.timestamps[: len(half.timestamps)]
    assert half.duration == pytest.approx(len(half.frames), abs=1.1)  # what can be seen, not what the header says


def test_every_source_gives_the_same_video(make_video: Write) -> None:
    path = make_video("a.mp4", [0, 1000, 2000])
    data = path.read_bytes()
    text = base64.b64encode(data).decode()
    first = load_video(path)
    assert load_video(first) is first
    for source in (str(path), data, text, f"data:video/mp4;base64,{text}"):
        assert load_video(source).timestamps == first.timestamps


def test_animated_gif(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 30), (index * 20, 0, 0)) for index in range(10)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=200)
    video = load_video(tmp_path / "a.gif", fps=5)
    assert video.timestamps == pytest.approx([index / 5 for index in range(10)])
    assert video.duration == pytest.approx(2.0)


def test_large_frames_are_shrunk_as_pictures_are(make_video: Write) -> None:
    video = load_video(make_video("a.mp4", [0, 500], size=(1280, 720)))
    width, height = video.frames[0].size
    assert width % 32 == height % 32 == 0 and width * height <= 360 * 640
    assert load_video(make_video("b.mp4", [0, 500])).frames[0].size == (64, 48)


def test_bad_files_each_give_one_clear_line(make_video: Write, audio_file: Path, tmp_path: Path) -> None:
    whole = make_video("a.mp4", range(0, 3000, 100))
    still = tmp_path / "still.png"
    Image.new("RGB", (64, 64)).save(still)
    data = whole.read_bytes()
    files = {
        "empty.mp4": (b"", "empty"),
        "cut.mp4": (data[: len(data) // 2], "cut off before its index"),
        "text.mp4": (b"no video at all " * 99, "not a video"),
        "still.mp4": (still.read_bytes(), "not a video"),
        "list.m3u8": (f"#EXTM3U\n#EXTINF:1,\n{whole}\n".encode(), "not a video"),
        "list.ffconcat": (f"ffconcat version 1.0\nfile {whole}\n".encode(), "not a video"),
        "sound.mp4": (audio_file.read_bytes(), "no video stream"),
    }
    for name, (content, problem) in files.items():
        path = tmp_path / f"bad-{name}"
        path.write_bytes(content)
        with pytest.raises(MediaError, match=problem) as caught:
            load_video(path)
        assert f"bad-{name}" in str(caught.value) and "\n" not in str(caught.value) and "; " in str(caught.value)
    with pytest.raises(MediaError, match="no such file"):
        load_video(tmp_path / "nowhere.mp4")
    with pytest.raises(MediaError, match="a folder"):
        load_video(tmp_path)
    with pytest.raises(MediaError, match="files are not opened"):
        load_video(whole, allow_files=False)
    with pytest.raises(MediaError, match="64x48 pixels exceed"):
        load_video(whole, limits=Limits(max_image_pixels=1000))


def test_video_with_an_index_but_no_frames(make_video: Write) -> None:
    data = make_video("a.mp4", range(0, 3000, 100), **{"movflags": "faststart"}).read_bytes()
    start = data.index(b"mdat") + 4
    with pytest.raises(MediaError, match="not one frame"):
        load_video(data[:start] + bytes(len(data) - start))


@pytest.mark.parametrize(
    ("seconds", "whole", "decimals"),
    [
        (0, "00:00", "00:00.00"),
        (8.99, "00:08", "00:08.99"),
        (8.999, "00:08", "00:09.00"),
        (65.5, "01:05", "01:05.50"),
        (0.1 * 3 * 10, "00:03", "00:03.00"),
        (3599.999, "59:59", "1:00:00.00"),
        (3725.25, "1:02:05", "1:02:05.25"),
    ],
)
def test_clock(seconds: float, whole: str, decimals: str) -> None:
    assert clock(seconds) == whole
    assert clock(seconds, decimals=True) == decimals


def test_serialization() -> None:
    assert header(4, 8.9) == (
        "The time range of this video is [00:00-00:08], and the following is a series of 4 frames sampled at 0.4 FPS.\n"
    )
    assert frame_label(65.5) == "[01:05.50]:"


def test_frames_without_times() -> None:
    frame = Image.new("RGB", (32, 32))
    assert frames_to_video([frame, frame]).timestamps == ()
    timed = frames_to_video([frame] * 4, fps=2)
    assert (timed.timestamps, timed.duration) == ((0.0, 0.5, 1.0, 1.5), 2.0)
    with pytest.raises(MediaError, match="without frames"):
        frames_to_video([])
    with pytest.raises(MediaError, match="1 timestamps"):
        Video((frame, frame), (0.0,), 1.0)

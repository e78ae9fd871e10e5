"""Images and videos in every form that people have; metadata never costs pixels; deep images by their scale."""

from __future__ import annotations

import base64
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pixelword.errors import InputError, MediaError
from pixelword.processing import load_image, load_video
from pixelword.processing.token_counts import image_size
from pixelword.processing.tokenizer import valid_text


@pytest.fixture
def png(picture: Image.Image) -> bytes:
    return encoded(picture, "PNG")


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def same(source: object, picture: Image.Image) -> bool:
    return np.array_equal(np.asarray(load_image(source)), np.asarray(picture))


def test_open_files_mappings_and_file_urls(png: bytes, picture: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "a b%.png"
    path.write_bytes(png)
    stream = io.BytesIO(png)
    stream.seek(7)
    with path.open("rb") as file:
        sources = [file, file, stream, stream, {"bytes": png, "path": None}, {"bytes": None, "path": str(path)}]
        sources += [path.as_uri(), f"FILE://localhost{path.as_uri()[7:]}", f"file:{path}"]
        for source in sources:
            assert same(source, picture), source
            assert image_size(source) == (picture.height, picture.width)
    assert stream.tell() == 7, "the caller's position stays"
    with pytest.raises(MediaError, match=r"nowhere\.png: no such file"):
        load_image("file:///nowhere.png")
    with pytest.raises(MediaError, match="files are not opened"):
        load_image(path.as_uri(), allow_files=False)


def test_an_open_video_is_read(make_video: Callable[..., Path]) -> None:
    path = make_video("a.mp4", [0, 1000, 2000])
    with path.open("rb") as file:
        for source in (file, io.BytesIO(path.read_bytes()), {"path": str(path)}, path.as_uri()):
            assert len(load_video(source).frames) == 3
        assert not file.closed


class Upload:
    async def read(self, size: int = -1) -> bytes:
        return b""


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (io.StringIO("text"), "binary mode"),
        (Upload(), "await file.read"),
        ({"path": None}, '"bytes" or "path"'),
        (np.array([["a"]]), "not an image"),
        (np.full((4, 4), np.inf), "0..1"),
        (np.zeros((4, 4), complex), "not an image"),
    ],
)
def test_what_cannot_be_read_is_named_in_a_line(source: object, told: str) -> None:
    with pytest.raises(MediaError, match=told):
        load_image(source)


def test_base64_is_read_as_browsers_read_it(png: bytes, picture: Image.Image) -> None:
    text = base64.b64encode(png).decode()
    url = base64.urlsafe_b64encode(png).decode()
    lines = base64.encodebytes(png).decode()
    bodies = [text, lines, text + "\n", " " + text, url, text.rstrip("="), url.rstrip("=")]
    for body in bodies:
        assert same(body, picture) and same(f"data:image/png;base64,{body}", picture)
    for head in (
        "DATA:image/png;BASE64,",
        "data:image/png;charset=utf-8;base64,",
        "image/png;base64,",
        " data:;base64,",
    ):
        assert same(head + text, picture), head
    assert same("data:image/png;base64," + text.replace("+", "%2B").replace("=", "%3D"), picture)


def test_flawed_base64_says_so_in_a_short_line() -> None:
    text = base64.b64encode(bytes(range(256)) * 400).decode()
    for flawed in (f'"{text}"', text[:-1] + "*", text + "A", "data:image/png;base64," + text + "{}"):
        with pytest.raises(MediaError, match="base64") as caught:
            load_image(flawed)
        assert len(str(caught.value)) < 200
    with pytest.raises(MediaError, match="no such file"):
        load_image("a-folder/with_names/that/are/long/and/look/like/base64/but/are/not/any/file")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_broken_exif_block_costs_no_pixels(format: str) -> None:
    sideways = Image.new("RGB", (40, 20), "red")
    exif = Image.Exif()
    exif[0x0112], exif[0x0131], exif[0x011A] = 6, "a camera", 72.0
    block = exif.tobytes()
    start = block.index(b"\x01\x12")  # the orientation's entry
    for kind in (2, 5, 10, 12, 13, 255):  # every other tag of another type than its own
        broken = bytearray(block)
        for entry in (start - 12, start + 12, start + 24):
            if block[entry : entry + 2] in (b"\x01\x1a", b"\x01\x31"):
                broken[entry + 2 : entry + 4] = struct.pack(">H", kind)
        assert bytes(broken) != block
        try:
            data = encoded(sideways, format, exif=bytes(broken))
        except Exception:  # Pillow's own writer reads the block of an AVIF
            assert format == "AVIF"
            continue
        assert load_image(data).size == (20, 40) and image_size(data) == (40, 20)
    if format != "AVIF":
        data = encoded(sideways, format, exif=b"Exif\0\0nonsense")
        assert load_image(data).size == (40, 20)


def test_metadata_of_any_size_is_passed_over() -> None:
    text = PngImagePlugin.PngInfo()
    for number in range(3):
        text.add_text(f"prompt {number}", "x" * (2 << 20), zip=True)
    image = Image.new("RGB", (9, 7), "red")
    data = encoded(image, "PNG", pnginfo=text, icc_profile=bytes(2 << 20))
    assert load_image(data).getpixel((4, 4)) == (255, 0, 0)
    bad = data[:33] + struct.pack(">I4s", 3, b"pHYs") + b"abc" + struct.pack(">I", zlib.crc32(b"pHYsabc")) + data[33:]
    assert load_image(bad).size == (9, 7)


def test_a_decoders_own_reason_is_told() -> None:
    data = bytearray(encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "AVIF"))
    data[-300:-100] = bytes(200)
    try:
        load_image(bytes(data))
    except MediaError as error:
        assert "damaged or cut off (" in str(error)
    with pytest.raises(MediaError, match="HEIC files are not read"):
        load_image(b"\0\0\0\x18ftypheic" + bytes(99))


def test_floating_and_deep_images_are_read_by_a_stated_scale() -> None:
    def grey(array: np.ndarray, mode: str | None = None) -> tuple[int, int]:
        image = Image.fromarray(array) if mode is None else Image.frombytes(mode, array.shape[::-1], array.tobytes())
        read = np.asarray(load_image(encoded(image, "TIFF")))
        assert np.array_equal(read, np.asarray(load_image(image)))
        return int(read[-1, -1, 0]), int(read[0, 0, 0])

    half = np.full((32, 48), 0.5, np.float32)
    for stray, shown in ((1.02, 255), (-0.02, 0), (250.0, 255), (np.inf, 255), (-np.inf, 0), (np.nan, 0)):
        half[0, 0] = stray
        assert grey(half) == (128, shown), stray
    for scale in (255, 1023, 4095, 16383, 65535):
        values = np.linspace(0, scale, 32 * 48, dtype=np.float32).reshape(32, 48)
        assert grey(values) == (255, 0) and grey(values.astype(np.int32)) == (255, 0)
    assert grey(np.linspace(-1, 1, 32 * 48, dtype=np.float32).reshape(32, 48)) == (255, 0)
    for order, mode in (("<u2", "I;16"), (">u2", "I;16B")):
        assert grey(np.full((32, 48), 200, order), mode) == (1, 1)
        assert grey(np.full((32, 48), 51400, order), mode) == (200, 200)
        assert load_image(np.full((4, 4), 51400, order)).getpixel((0, 0)) == (200, 200, 200)
    assert load_image(np.full((4, 4, 3), 1.0000001, np.float32)).getpixel((0, 0)) == (255, 255, 255)
    assert load_image(np.full((4, 4, 3), -0.01, ">f4")).getpixel((0, 0)) == (0, 0, 0)


def test_text_is_made_valid_or_refused() -> None:
    assert valid_text("\ud83d\ude00!") == "😀!"
    with pytest.raises(InputError, match=r"half a character \('\\ud83d'\) at character 4"):
        valid_text("abc\ud83d")
    with pytest.raises(InputError, match="not UTF-8"):
        valid_text("what \udcff colour?")


def test_a_log_level_of_pyav_stops_nothing(make_video: Callable[..., Path]) -> None:
    """A decoder that is freed while its threads want to log must not wait for them for ever."""
    path = make_video("a.mp4", range(0, 8000, 40), size=(320, 240))
    data = bytearray(path.read_bytes())
    for place in range(2000, len(data) - 4000, 301):
        data[place] ^= 255
    path.write_bytes(bytes(data))
    code = (
        "import av, sys; av.logging.set_level(av.logging.ERROR)\n"
        "from pixelword.processing.videos import load_video, video_outline\n"
        f"for _ in range(5): video_outline({str(path)!r}), load_video({str(path)!r}, num_frames=3)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)

"""Pictures become patches as the released preparation makes them, whatever they come from."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from pixelword.errors import InputError, MediaError
from pixelword.processing import Limits, NeoOVImageProcessor, load_image, smart_resize
from pixelword.processing.images import patchify, to_rgb, unpatchify
from pixelword.processing.resize import shared_max_pixels

PREPARATION = Path(__file__).parents[2] / "conformance" / "pixelword_conformance" / "released" / "image-preparation"
CASES = json.loads((PREPARATION / "image_preparation.json").read_text())


@pytest.mark.parametrize("case", CASES["images"], ids=lambda case: case["file"])
def test_released_preparation_is_reproduced(case: dict) -> None:
    released = load_file(PREPARATION / "image_preparation.safetensors")
    name = Path(case["file"]).stem
    processor = NeoOVImageProcessor(min_pixels=case["min_pixels"], max_pixels=case["max_pixels"])
    ours = processor(PREPARATION / case["file"], return_tensors="np")
    assert ours["pixel_values"].dtype == np.float32
    assert ours["image_grid_hw"].tolist() == [case["grid_hw"]]
    assert np.array_equal(ours["pixel_values"].astype(np.float16), released[f"{name}.pixel_values"])
    with Image.open(PREPARATION / case["file"]) as image:
        assert processor.image_tokens(image.height, image.width) == case["visual_tokens"]


def test_released_sizes_are_reproduced() -> None:
    for case in CASES["smart_resize"]:
        limits = {"min_pixels": case["min_pixels"], "max_pixels": case["max_pixels"]}
        assert list(smart_resize(case["height"], case["width"], **limits)) == case["resized"]


@settings(max_examples=200, deadline=None)
@given(
    height=st.integers(1, 6000),
    width=st.integers(1, 6000),
    low=st.sampled_from([1024, 4096, 65_536]),
    room=st.sampled_from([16, 64]),
)
def test_resized_sides_are_multiples_of_32_within_limits(height: int, width: int, low: int, room: int) -> None:
    high = low * room
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(MediaError, match="200:1"):
            smart_resize(height, width, min_pixels=low, max_pixels=high)
        return
    tall, wide = smart_resize(height, width, min_pixels=low, max_pixels=high)
    assert tall % 32 == wide % 32 == 0
    assert tall * wide <= high or max(tall, wide) == 32 * max(1, -(-low // 1024))
    assert tall * wide >= low or min(tall, wide) == 32
    assert smart_resize(tall, wide, min_pixels=low, max_pixels=high) == (tall, wide) or max(tall, wide) > 200 * 32


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), patch=st.sampled_from([2, 16]), seed=st.integers(0, 9))
def test_patches_can_be_put_back_together(rows: int, columns: int, patch: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows * patch, columns * patch, 3), dtype=np.uint8)
    patches = patchify(pixels, patch)
    assert patches.shape == (rows * columns, 3 * patch * patch)
    assert np.array_equal(unpatchify(patches, (rows, columns), patch), pixels)


def test_patches_are_row_major_and_channel_first() -> None:
    pixels = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    patches = patchify(pixels, 2, mean=(0, 0, 0), std=(1, 1, 1)) * 255
    second = pixels[0:2, 2:4].transpose(2, 0, 1).reshape(-1)
    assert np.allclose(patches[1], second)


def _bytes(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_every_kind_of_source_gives_the_same_picture(picture: Image.Image, tmp_path: Path) -> None:
    data = _bytes(picture)
    path = tmp_path / "a picture.png"
    path.write_bytes(data)
    text = base64.b64encode(data).decode()
    pixels = np.asarray(picture)
    sources = {
        "path": path,
        "path as text": str(path),
        "PIL": picture,
        "bytes": data,
        "base64": text,
        "data URL": f"data:image/png;base64,{text}",
        "numpy HWC": pixels,
        "numpy CHW": pixels.transpose(2, 0, 1),
        "numpy float": pixels.astype(np.float32) / 255,
        "torch CHW": torch.from_numpy(pixels.copy()).permute(2, 0, 1),
        "torch float": torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255,
        "int64": pixels.astype(np.int64),
    }
    for name, source in sources.items():
        loaded = load_image(source)
        assert loaded.mode == "RGB", name
        assert np.array_equal(np.asarray(loaded), pixels), name


def test_orientation_is_honoured() -> None:
    image = Image.new("RGB", (40, 20))
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    upright = load_image(_bytes(image, exif=exif))
    assert upright.size == (20, 40)
    assert upright.getpixel((19, 0)) == (255, 0, 0)


def test_modes_keep_their_brightness_and_transparency() -> None:
    def centre(image: Image.Image) -> tuple[int, ...]:
        return to_rgb(load_image(image)).getpixel((4, 4))

    size = (8, 8)
    assert centre(Image.new("L", size, 77)) == (77, 77, 77)
    assert centre(Image.new("1", size, 1)) == (255, 255, 255)
    assert centre(Image.new("I", size, 77)) == (77, 77, 77)
    assert centre(Image.fromarray(np.full(size, 128 * 257, np.uint16))) == (128, 128, 128)
    assert centre(Image.new("I", size, 200 * 257)) == (200, 200, 200)
    assert centre(Image.new("F", size, 0.2)) == (51, 51, 51)
    assert centre(Image.new("CMYK", size, (0, 255, 255, 0)))[0] > 200
    assert centre(Image.new("LA", size, (9, 0))) == (255, 255, 255)
    assert centre(Image.new("LA", size, (9, 128))) == (9, 9, 9)
    assert centre(Image.new("RGBA", size, (9, 8, 7, 0))) == (255, 255, 255)
    assert centre(Image.new("RGBA", size, (9, 8, 7, 1))) == (9, 8, 7)


def test_transparent_palette_colour_becomes_white(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((0, 0), 0)
    path = tmp_path / "palette.png"
    image.save(path, transparency=0)
    rgb = to_rgb(load_image(path))
    assert rgb.getpixel((0, 0)) == (255, 255, 255)
    assert rgb.getpixel((4, 4)) == (10, 20, 30)


def test_sixteen_bit_file_is_scaled_not_clipped() -> None:
    deep = Image.fromarray((np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8))
    shallow = np.asarray(load_image(_bytes(deep)).convert("L"))
    assert np.abs(shallow.reshape(-1).astype(float) - np.arange(64) * 1000 / 257).max() <= 0.51


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "green")]
    for format in ("GIF", "WEBP", "PNG"):
        data = _bytes(frames[0], format, save_all=True, append_images=frames[1:])
        red, green, blue = load_image(data).convert("RGB").getpixel((20, 20))
        assert red > 240 and green < 15 and blue < 15, format


def test_smallest_picture_is_enlarged() -> None:
    prepared = NeoOVImageProcessor()(Image.new("RGB", (1, 1), "red"))
    assert prepared["image_grid_hw"].tolist() == [[16, 16]]


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size it has no pixels for."""
    data = _bytes(Image.new("L", (1, 1)))
    import zlib

    body = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + data[24:29]
    return data[:8] + (13).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big") + data[33:]


@pytest.mark.parametrize("size", [(20_000, 10_000), (9_000, 9_000)])
def test_huge_picture_is_refused_by_its_header(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(_png_header(*size))
    with pytest.raises(MediaError, match=r"huge\.png.*shrink") as caught:
        load_image(path, limits=Limits(max_image_pixels=80_000_000))
    assert "\n" not in str(caught.value)


def test_bad_files_each_give_one_clear_line(tmp_path: Path, picture: Image.Image) -> None:
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    files = {
        "empty.png": (b"", "empty"),
        "cut.png": (_bytes(large)[:2000], "damaged or cut off"),
        "cut.jpg": (_bytes(large, "JPEG")[:2000], "damaged or cut off"),
        "text.png": (b"this is no picture at all", "not an image"),
        "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        "long.png": (_bytes(Image.new("L", (402, 2))), "longer than 200:1"),
    }
    for name, (data, problem) in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(MediaError, match=problem) as caught:
            load_image(path)
        assert name in str(caught.value) and "\n" not in str(caught.value) and "; " in str(caught.value)
    with pytest.raises(MediaError, match=r"nowhere\.png: no such file"):
        load_image(tmp_path / "nowhere.png")
    with pytest.raises(MediaError, match="a folder"):
        load_image(tmp_path)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"", "empty"),
        (b"nonsense", "not an image"),
        ("data:image/png;base64,***", "not valid base64"),
        ("data:image/png,plain", "must look like"),
        (np.zeros((5, 4, 2), np.uint8), "not an image"),
        (np.zeros((0, 4, 3), np.uint8), "not an image"),
        (np.full((4, 4, 3), 7.0), "0..1"),
        (np.full((4, 4, 3), np.nan), "0..1"),
        (np.full((4, 4, 3), 300), "0..255"),
        (12, "not an image"),
        ("http://example.com/a.png", "URLs are off"),
        ("HTTPS://example.com/a.png", "URLs are off"),
    ],
)
def test_bad_sources_each_give_one_clear_line(source: object, problem: str) -> None:
    with pytest.raises(MediaError, match=problem):
        load_image(source)


def test_files_can_be_forbidden(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "secret.png"
    picture.save(path)
    with pytest.raises(MediaError, match="files are not opened"):
        load_image(str(path), allow_files=False)


def test_bytes_over_the_limit_are_refused(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "a.png"
    picture.save(path)
    for source in (path, path.read_bytes()):
        with pytest.raises(MediaError, match="limit of 100"):
            load_image(source, limits=Limits(max_bytes=100))


def test_pictures_of_a_sample_share_its_budget() -> None:
    assert shared_max_pixels(1, min_pixels=10, max_pixels=1000) == 1000
    assert shared_max_pixels(2, min_pixels=10, max_pixels=1000) == 1000
    assert shared_max_pixels(8, min_pixels=10, max_pixels=1000) == 250
    assert shared_max_pixels(900, min_pixels=10, max_pixels=1000) == 10
    processor = NeoOVImageProcessor(min_pixels=1024, max_pixels=65_536)
    image = Image.new("RGB", (512, 512))
    assert processor([image])["image_grid_hw"].tolist() == [[16, 16]]
    assert processor([image] * 8)["image_grid_hw"].tolist() == [[8, 8]] * 8


def test_budget_of_a_call_wins() -> None:
    processor = NeoOVImageProcessor()
    assert processor.image_tokens(1024, 1024) == 1024
    assert processor.image_tokens(1024, 1024, max_pixels=65_536) == 64
    assert processor.image_tokens(1024, 1024, max_pixels=4096) == 4
    assert processor.image_tokens(32, 32, min_pixels=262_144) == 256
    with pytest.raises(InputError, match="above max_pixels"):
        processor.image_tokens(32, 32, min_pixels=4096, max_pixels=1024)
    with pytest.raises(InputError, match="whole number"):
        NeoOVImageProcessor(min_pixels="many")


def test_one_element_lists_of_released_settings_are_read() -> None:
    assert NeoOVImageProcessor(min_pixels=[1024], max_pixels=[4096]).max_pixels == 4096


def test_settings_survive_saving(tmp_path: Path) -> None:
    NeoOVImageProcessor(min_pixels=1024, max_pixels=4096).save_pretrained(tmp_path)
    again = NeoOVImageProcessor.from_pretrained(tmp_path)
    assert (again.min_pixels, again.max_pixels, again.patch_size, again.merge_size) == (1024, 4096, 16, 2)

"""Pictures: any source -> RGB or RGBA -> patches, exactly as the released preparation makes them.

One deliberate difference from the released code: EXIF orientation is honoured (it is ignored there), so a photograph
taken upright is seen upright. Palette and grey pictures with a transparent colour are treated as RGBA pictures are.
"""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from pixelword.errors import MediaError
from pixelword.processing.limits import Limits
from pixelword.processing.sources import describe, read_bytes

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Formats that Pillow decodes by itself: no EPS or PDF (they start Ghostscript), no seldom used, seldom mended readers.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "TGA")

DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


def load_image(
    source: Any, *, limits: Limits | None = None, allow_urls: bool = False, allow_files: bool = True
) -> Image.Image:
    """A picture from a path, PIL image, numpy array, torch tensor, bytes, base64, data URL or, if allowed, http(s) URL.

    Arrays are (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels, uint8, or floating in 0..1. Of an animation the
    first frame is taken; EXIF orientation is applied. Returns an RGB or RGBA image; raises `MediaError`.
    """
    limits = limits or Limits()
    if isinstance(source, Image.Image):
        return _finish(source, "the picture", limits)
    if is_tensor(source):
        tensor = source.detach().cpu()
        source = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if isinstance(source, np.ndarray):
        return _finish(_from_array(source), "the picture", limits)
    name = describe(source)
    data = read_bytes(source, kind="picture", limits=limits, allow_urls=allow_urls, allow_files=allow_files)
    return _finish(open_picture(io.BytesIO(data), name), name, limits)


def is_tensor(source: Any) -> bool:
    """Whether it is a torch tensor; nobody can have one where torch is not imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def open_picture(file: BinaryIO, name: str) -> Image.Image:
    """The picture in a file, of which only the header is read yet. Raises `MediaError`."""
    try:
        return Image.open(file, formats=_formats())
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name}: {error}; shrink the picture") from error
    except DECODE_ERRORS as error:
        raise MediaError(
            f"{name}: not a picture that can be read; give a PNG, JPEG, WebP, GIF, TIFF or BMP file"
        ) from error


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _finish(image: Image.Image, name: str, limits: Limits) -> Image.Image:
    """Check the header's size, decode, turn upright, and bring any mode to RGB or RGBA."""
    check_size(*image.size, name, limits)
    try:
        image.load()
        return _to_rgb_or_rgba(ImageOps.exif_transpose(image))
    except DECODE_ERRORS as error:
        raise MediaError(f"{name}: the picture is damaged or cut off ({error}); give a whole file") from error


def check_size(width: int, height: int, name: str, limits: Limits) -> None:
    """Raises `MediaError` for pictures without pixels, with too many, or too long ones."""
    if width < 1 or height < 1:
        raise MediaError(f"{name}: {width}x{height} pixels have no area; give a picture with at least one pixel a side")
    if width * height > limits.max_image_pixels:
        raise MediaError(
            f"{name}: {width}x{height} pixels exceed the limit of {limits.max_image_pixels:,}; shrink the picture"
        )
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise MediaError(
            f"{name}: {width}x{height} pixels are longer than {limits.max_aspect_ratio:g}:1; crop it or cut it up"
        )


def _to_rgb_or_rgba(image: Image.Image) -> Image.Image:
    if image.mode in ("RGB", "RGBA") and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_deep_to_8bit(np.asarray(image))).convert("RGB")
    if image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    return image.convert("RGB")


def _deep_to_8bit(grey: np.ndarray) -> np.ndarray:
    """16-bit, 32-bit or floating grey to 8 bits by its scale (Pillow's own convert cuts everything above 255 off)."""
    values = np.nan_to_num(grey.astype(np.float64))
    top = values.max()
    if np.issubdtype(grey.dtype, np.floating) and top <= 1.0:
        scale = 255.0
    elif grey.dtype == np.uint16 or 255 < top <= 65535:
        scale = 1 / 257  # 65535 -> 255
    else:
        scale = 1.0 if top <= 255 else 255.0 / top
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise MediaError(
            f"an array of shape {array.shape} is no picture; give (height, width, channels) or (channels, height, "
            "width) with 1, 3 or 4 channels"
        )
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype == np.uint16:
        array = _deep_to_8bit(array)
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0.0 and array.max() <= 1.0):  # also catches NaN
            raise MediaError("a floating array is no picture unless its values lie in 0..1; scale it, or give uint8")
        array = np.rint(array * 255.0)
    elif array.min() < 0 or array.max() > 255:
        raise MediaError(
            f"a {array.dtype} array is no picture unless its values lie in 0..255; scale it, or give uint8"
        )
    array = np.ascontiguousarray(array, dtype=np.uint8)
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB as the released code makes it: any fully transparent pixel -> pasted on white; otherwise alpha is dropped."""
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        if alpha.getextrema()[0] == 0:
            white = Image.new("RGB", image.size, (255, 255, 255))
            white.paste(image, mask=alpha)
            return white
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=8)
def _normal_table(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """(3, 256) float32: what each 8-bit value of each channel becomes. The order of operations is the released one."""
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    mean_, std_ = np.asarray(mean, np.float32)[:, None], np.asarray(std, np.float32)[:, None]
    return (levels - mean_) / std_


def patchify(
    pixels: np.ndarray, patch_size: int, *, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> np.ndarray:
    """(H, W, 3) uint8 -> (H/p * W/p, 3*p*p) float32: row-major patches, each channel-first, normalised."""
    height, width, _ = pixels.shape
    rows, columns = height // patch_size, width // patch_size
    table = _normal_table(tuple(mean), tuple(std))
    patches = np.empty((rows, columns, 3, patch_size, patch_size), dtype=np.float32)
    tiles = pixels.reshape(rows, patch_size, columns, patch_size, 3).transpose(4, 0, 2, 1, 3)
    for channel in range(3):
        patches[:, :, channel] = table[channel][tiles[channel]]
    return patches.reshape(rows * columns, -1)


def unpatchify(
    patches: np.ndarray,
    grid_hw: tuple[int, int],
    patch_size: int,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> np.ndarray:
    """The inverse of `patchify`: (patches, 3*p*p) float -> (H, W, 3) uint8."""
    rows, columns = grid_hw
    tiles = np.asarray(patches, np.float32).reshape(rows, columns, 3, patch_size, patch_size).transpose(0, 3, 1, 4, 2)
    pixels = tiles.reshape(rows * patch_size, columns * patch_size, 3)
    pixels = pixels * np.asarray(std, np.float32) + np.asarray(mean, np.float32)
    return np.clip(np.rint(pixels * 255), 0, 255).astype(np.uint8)

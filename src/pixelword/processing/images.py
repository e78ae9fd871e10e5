"""Images: any source -> RGB or RGBA -> patches, exactly as the released preparation makes them.

One deliberate difference from the released code: EXIF orientation is applied (it is ignored there), so a photograph
taken upright is seen upright. Palette and grey images with a transparent colour are treated as RGBA images are.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from pixelword.errors import MediaError
from pixelword.processing.decoding import decoding
from pixelword.processing.image_files import open_picture, orientation
from pixelword.processing.limits import Limits
from pixelword.processing.media_io import describe, plain, read_bytes
from pixelword.processing.orientation import ORIENTED_BY, TURNS
from pixelword.processing.pixels import from_array, to_rgb_or_rgba

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def load_image(
    source: Any, *, limits: Limits | None = None, allow_urls: bool = False, allow_files: bool = True
) -> Image.Image:
    """Load an image from a path, URL, PIL image, array, tensor, bytes, open file or base64; see `media_io`.

    Arrays are (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels, uint8, uint16, or floating in 0..1. Of an
    animation the first frame is taken; EXIF orientation is applied. Returns an RGB or RGBA image; raises `MediaError`.
    """
    limits = limits or Limits()
    source = plain(source)
    if isinstance(source, Image.Image):
        return _finish(source, "the image", limits)
    if is_tensor(source):
        source = _tensor_to_array(source)
    if isinstance(source, np.ndarray):
        with decoding("the array", "image", "it cannot be made an image"):
            return _finish(from_array(source), "the array", limits)
    name = describe(source)
    data = read_bytes(source, kind="image", limits=limits, allow_urls=allow_urls, allow_files=allow_files)
    return _finish(open_picture(io.BytesIO(data), name), name, limits)


def is_tensor(source: Any) -> bool:
    """Whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def _tensor_to_array(tensor: Any) -> np.ndarray:
    with decoding("the tensor", "image", "it cannot be made an image"):
        here = tensor.detach().cpu()
        array: np.ndarray = (here.float() if here.is_floating_point() else here).numpy()
        return array


def _finish(image: Image.Image, name: str, limits: Limits) -> Image.Image:
    """Check the size in the header, decode, rotate upright, and convert any mode to RGB or RGBA."""
    check_size(*image.size, name, limits)
    with decoding(name, "image"):
        image.load()
        turn = TURNS.get(orientation(image))
        pixels = to_rgb_or_rgba(image)
        return pixels if turn is None else _turned(pixels, turn)


def _turned(image: Image.Image, turn: Image.Transpose) -> Image.Image:
    """Apply an orientation, and forget it: loading the result again must not turn it again."""
    upright = image.transpose(turn)
    upright.info = {name: value for name, value in image.info.items() if name not in ORIENTED_BY}
    return upright


def check_size(width: int, height: int, name: str, limits: Limits) -> None:
    """Raise `MediaError` for images that are empty, too large or too elongated."""
    if width < 1 or height < 1:
        raise MediaError(f"{name}: {width}x{height} pixels have no area; give an image of at least one pixel per side")
    if width * height > limits.max_image_pixels:
        raise MediaError(
            f"{name}: {width}x{height} pixels exceed the limit of {limits.max_image_pixels:,}; shrink the image"
        )
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise MediaError(
            f"{name}: {width}x{height} pixels are longer than {limits.max_aspect_ratio:g}:1; crop it or cut it up"
        )


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB like the released code: with any fully transparent pixel, composite on white; else drop alpha."""
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        if alpha.getextrema()[0] == 0:
            white = Image.new("RGB", image.size, (255, 255, 255))
            white.paste(image, mask=alpha)
            return white
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=8)
def _normal_table(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Lookup table from 8-bit to normalised values per channel, (3, 256) float32, in the released operation order."""
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

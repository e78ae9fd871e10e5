"""Pictures: any source -> RGB or RGBA -> patches, exactly as the released preparation makes them.

One deliberate difference from the released code: EXIF orientation is honoured (it is ignored there), so a photograph
taken upright is seen upright. Palette and grey pictures with a transparent colour are treated as RGBA pictures are.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ImagesKwargs

from pixelword.errors import InputError, MediaError
from pixelword.processing.limits import Limits
from pixelword.processing.sources import describe, read_bytes

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Formats that Pillow decodes by itself: no EPS or PDF (they start Ghostscript), no seldom used, seldom mended readers.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "TGA")

DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


def smart_resize(
    height: int,
    width: int,
    *,
    min_pixels: int,
    max_pixels: int,
    factor: int = 32,
    max_aspect_ratio: float = 200.0,
) -> tuple[int, int]:
    """Height and width that a picture is resized to.

    Both are multiples of `factor`, `min_pixels <= height * width <= max_pixels` where rounding allows it, and the
    aspect ratio is kept as well as possible. Raises `MediaError` above `max_aspect_ratio`.
    """
    if height < 1 or width < 1:
        raise MediaError(f"a picture of {width}x{height} pixels has no area; give one with at least one pixel a side")
    if max(height, width) > max_aspect_ratio * min(height, width):
        raise MediaError(
            f"a picture of {width}x{height} pixels is longer than {max_aspect_ratio:g}:1; crop it or cut it into pieces"
        )
    high = max(factor, round(height / factor) * factor)
    wide = max(factor, round(width / factor) * factor)
    if high * wide > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        high = max(factor, math.floor(height / shrink / factor) * factor)
        wide = max(factor, math.floor(width / shrink / factor) * factor)
        if high * wide > max_pixels:  # the short side stands at `factor`: only the long one can still give way
            longest = max(factor, max_pixels // factor // factor * factor)
            high, wide = min(high, longest), min(wide, longest)
    elif high * wide < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        high = math.ceil(height * grow / factor) * factor
        wide = math.ceil(width * grow / factor) * factor
    return high, wide


def smart_resize_all(
    sizes: np.ndarray, *, min_pixels: np.ndarray | int, max_pixels: np.ndarray | int, factor: int = 32
) -> np.ndarray:
    """`smart_resize` of many (height, width) at once: (n, 2) int -> (n, 2) int64, equal to it number by number.

    min_pixels, max_pixels: one number, or one for each. Sizes must have been checked: nothing is raised here.
    """
    sides = np.asarray(sizes, np.int64)
    least, most = (np.broadcast_to(np.asarray(bound, np.int64), len(sides)) for bound in (min_pixels, max_pixels))
    area = sides.prod(-1)
    resized = np.maximum(factor, np.rint(sides / factor).astype(np.int64) * factor)
    large, small = resized.prod(-1) > most, resized.prod(-1) < least
    if large.any():
        shrink = np.sqrt(area[large] / most[large])[:, None]
        shrunk = np.maximum(factor, np.floor(sides[large] / shrink / factor).astype(np.int64) * factor)
        longest = np.maximum(factor, most[large] // factor // factor * factor)[:, None]
        resized[large] = np.where((shrunk.prod(-1) > most[large])[:, None], np.minimum(shrunk, longest), shrunk)
    grows = small & ~large
    if grows.any():
        grow = np.sqrt(least[grows] / area[grows])[:, None]
        resized[grows] = np.ceil(sides[grows] * grow / factor).astype(np.int64) * factor
    return resized


def shared_max_pixels(count: int, *, min_pixels: int, max_pixels: int) -> int:
    """Pixels for each of `count` pictures of a sample: max(2 * max_pixels / count, min_pixels), at most max_pixels."""
    return min(max_pixels, max(2 * max_pixels // max(count, 1), min_pixels))


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
    if isinstance(source, torch.Tensor):
        tensor = source.detach().cpu()
        source = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if isinstance(source, np.ndarray):
        return _finish(_from_array(source), "the picture", limits)
    name = describe(source)
    data = read_bytes(source, kind="picture", limits=limits, allow_urls=allow_urls, allow_files=allow_files)
    return _finish(open_picture(io.BytesIO(data), name), name, limits)


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


class NeoOVImagesKwargs(ImagesKwargs):
    min_pixels: int
    max_pixels: int
    patch_size: int
    merge_size: int


class NeoOVImageProcessor(PilBackend):
    """Pictures -> `pixel_values` (patches, 3*patch_size**2) float32 and `image_grid_hw` (pictures, 2) int64 in patches.

    `merge_size` patches a side become one visual token, so resized sides are multiples of patch_size * merge_size.
    """

    model_input_names = ["pixel_values", "image_grid_hw"]
    valid_kwargs = NeoOVImagesKwargs
    min_pixels = 65_536
    max_pixels = 4_194_304
    patch_size = 16
    merge_size = 2
    image_mean = IMAGENET_MEAN
    image_std = IMAGENET_STD

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("min_pixels", "max_pixels", "patch_size", "merge_size"):
            setattr(self, name, _one_int(name, getattr(self, name)))
        if self.min_pixels > self.max_pixels:
            raise InputError(f"min_pixels {self.min_pixels} is above max_pixels {self.max_pixels}; swap or change them")

    def budget(self, min_pixels: int | None = None, max_pixels: int | None = None) -> tuple[int, int]:
        """The (min_pixels, max_pixels) of a call: given values win; one given alone pulls the other along."""
        high = self.max_pixels if max_pixels is None else _one_int("max_pixels", max_pixels)
        low = min(self.min_pixels, high) if min_pixels is None else _one_int("min_pixels", min_pixels)
        if max_pixels is None:
            high = max(high, low)
        if low > high:
            raise InputError(f"min_pixels {low} is above max_pixels {high}; swap or change them")
        return low, high

    def resized(
        self, height: int, width: int, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> tuple[int, int]:
        """Height and width in pixels that a picture of this size is resized to."""
        low, high = self.budget(min_pixels, max_pixels)
        return smart_resize(height, width, min_pixels=low, max_pixels=high, factor=self.patch_size * self.merge_size)

    def image_tokens(
        self, height: int, width: int, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> int:
        """Visual tokens that a picture of this size costs (without `<img>` and `</img>`); nothing is decoded."""
        high, wide = self.resized(height, width, min_pixels=min_pixels, max_pixels=max_pixels)
        return high * wide // (self.patch_size * self.merge_size) ** 2

    def prepare(
        self, image: Image.Image, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """One picture -> ((patches, 3*patch_size**2) float32, (rows, columns) of its patch grid)."""
        high, wide = self.resized(image.height, image.width, min_pixels=min_pixels, max_pixels=max_pixels)
        rgb = to_rgb(image)
        if rgb.size != (wide, high):
            rgb = rgb.resize((wide, high))
        patches = patchify(np.asarray(rgb), self.patch_size, mean=self.image_mean, std=self.image_std)
        return patches, (high // self.patch_size, wide // self.patch_size)

    def preprocess(
        self,
        images: Any,
        *,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        limits: Limits | None = None,
        allow_urls: bool = False,
        return_tensors: str | None = "pt",
        **unused: Any,
    ) -> BatchFeature:
        """The pictures of one sample, sharing its budget; for pictures of several samples call once a sample."""
        pictures = [load_image(one, limits=limits, allow_urls=allow_urls) for one in _flat(images)]
        if not pictures:
            raise InputError("no picture was given; pass at least one")
        low, high = self.budget(min_pixels, max_pixels)
        share = shared_max_pixels(len(pictures), min_pixels=low, max_pixels=high)
        prepared = [self.prepare(picture, min_pixels=low, max_pixels=share) for picture in pictures]
        data = {
            "pixel_values": np.concatenate([patches for patches, _ in prepared]),
            "image_grid_hw": np.asarray([grid for _, grid in prepared], dtype=np.int64),
        }
        return BatchFeature(data, tensor_type=return_tensors)


def _flat(images: Any) -> list[Any]:
    if isinstance(images, (list, tuple)):
        return [leaf for one in images for leaf in _flat(one)]
    if isinstance(images, (np.ndarray, torch.Tensor)) and images.ndim == 4:
        return list(images)
    return [images]


def _one_int(name: str, value: Any) -> int:
    """Released configurations hold some integers as one-element lists."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer)) or value < 1 or int(value) != value:
        raise InputError(f"{name} must be a whole number above 0, not {value!r}")
    return int(value)

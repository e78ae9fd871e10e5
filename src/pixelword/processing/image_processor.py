"""The image processor that transformers' Auto classes know: images -> patches, within a budget of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ImagesKwargs

from pixelword.errors import InputError
from pixelword.processing.images import IMAGENET_MEAN, IMAGENET_STD, is_tensor, load_image, patchify, to_rgb
from pixelword.processing.limits import Limits
from pixelword.processing.resize import shared_max_pixels, smart_resize


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
    if (isinstance(images, np.ndarray) or is_tensor(images)) and images.ndim == 4:
        return list(images)
    return [images]


def _one_int(name: str, value: Any) -> int:
    """Released configurations hold some integers as one-element lists."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer)) or value < 1 or int(value) != value:
        raise InputError(f"{name} must be a whole number above 0, not {value!r}")
    return int(value)

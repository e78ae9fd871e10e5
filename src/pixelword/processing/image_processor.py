"""The image processor for transformers' Auto classes: images -> patches, within a pixel budget."""

from __future__ import annotations

import copy
import math
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


class NeoOVImageProcessorKwargs(ImagesKwargs):
    min_pixels: int
    max_pixels: int
    patch_size: int
    merge_size: int


#: Settings of an image processor that a single call may change.
SETTINGS = (
    *("patch_size", "merge_size", "do_resize", "resample"),
    *("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std"),
)
#: transformers' further options, and the values (besides None) that ask for what is done anyway; () for any value.
_FIXED: dict[str, tuple[Any, ...]] = {
    "do_convert_rgb": (True,),
    "do_pad": (False,),
    "do_center_crop": (False,),
    "data_format": ("channels_first",),
    "device": ("cpu",),
    "input_data_format": (),
    "disable_grouping": (),
    "default_to_square": (),
}


class NeoOVImageProcessor(PilBackend):
    """Images -> `pixel_values` (patches, 3*patch_size**2) float32 and `image_grid_hw` (images, 2) int64 in patches.

    `merge_size` patches per side form one visual token, so resized sides are multiples of patch_size * merge_size.
    """

    model_input_names = ["pixel_values", "image_grid_hw"]
    valid_kwargs = NeoOVImageProcessorKwargs
    min_pixels = 65_536
    max_pixels = 4_194_304
    patch_size = 16
    merge_size = 2
    image_mean = IMAGENET_MEAN
    image_std = IMAGENET_STD

    def __init__(self, **kwargs: Any) -> None:
        _check_fixed({name: value for name, value in kwargs.items() if name in ImagesKwargs.__annotations__})
        super().__init__(**kwargs)
        self._check()

    def _check(self) -> None:
        for name in ("min_pixels", "max_pixels", "patch_size", "merge_size"):
            setattr(self, name, _one_int(name, getattr(self, name)))
        if self.min_pixels > self.max_pixels:
            raise InputError(f"min_pixels {self.min_pixels} is above max_pixels {self.max_pixels}; swap or change them")

    def adjusted(self, options: dict[str, Any]) -> NeoOVImageProcessor:
        """Return an image processor with the settings popped from `options`; itself if there are none.

        Raises:
            InputError: A transformers option is not supported here.
        """
        changes = {name: options.pop(name) for name in SETTINGS if name in options}
        fixed = {name: options.pop(name) for name in ImagesKwargs.__annotations__ if name in options}
        _check_fixed(fixed)
        changes = {name: value for name, value in changes.items() if value is not None}
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        other = copy.copy(self)
        for name, value in changes.items():
            setattr(other, name, value)
        other._check()
        return other

    @property
    def _normalization(self) -> tuple[Any, Any]:
        """Return mean and standard deviation for values in 0..1, whatever range the settings rescale to."""
        mean: Any = self.image_mean
        std: Any = self.image_std
        if self.do_normalize is False:
            mean, std = (0.0,) * 3, (1.0,) * 3
        mean, std = ((item,) * 3 if isinstance(item, (int, float)) else tuple(item) for item in (mean, std))
        scale = 255.0 * (1.0 if self.do_rescale is False else self.rescale_factor)
        if math.isclose(scale, 1.0):
            return mean, std
        return tuple(item / scale for item in mean), tuple(item / scale for item in std)

    def budget(self, min_pixels: int | None = None, max_pixels: int | None = None) -> tuple[int, int]:
        """Return (min_pixels, max_pixels) of a call: arguments override settings, and one alone adjusts the other."""
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
        """Return the height and width, in pixels, that an image of this size is resized to."""
        low, high = self.budget(min_pixels, max_pixels)
        return smart_resize(height, width, min_pixels=low, max_pixels=high, factor=self.patch_size * self.merge_size)

    def image_tokens(
        self, height: int, width: int, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> int:
        """Return the number of visual tokens of an image of this size, without `<img>` and `</img>`."""
        high, wide = self.resized(height, width, min_pixels=min_pixels, max_pixels=max_pixels)
        return high * wide // (self.patch_size * self.merge_size) ** 2

    def prepare(
        self, image: Image.Image, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """One image -> ((patches, 3*patch_size**2) float32, (rows, columns) of its patch grid)."""
        if self.do_resize is False:
            high, wide, side = image.height, image.width, self.patch_size * self.merge_size
            if high % side or wide % side:
                raise InputError(f"do_resize=False needs sides that are multiples of {side}, not {wide}x{high} pixels")
        else:
            high, wide = self.resized(image.height, image.width, min_pixels=min_pixels, max_pixels=max_pixels)
        rgb = to_rgb(image)
        if rgb.size != (wide, high):
            rgb = rgb.resize((wide, high), self.resample)
        mean, std = self._normalization
        patches = patchify(np.asarray(rgb), self.patch_size, mean=mean, std=std)
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
        **options: Any,
    ) -> BatchFeature:
        """Preprocess the images of one sample, which share its pixel budget; call once per sample.

        options: Settings for this call only, such as do_normalize. Raises `InputError` for unknown ones.
        """
        other = self.adjusted(options)
        if options:
            raise InputError(f"unknown option {', '.join(sorted(options))}; use min_pixels, max_pixels, …")
        pictures = [load_image(item, limits=limits, allow_urls=allow_urls) for item in _flat(images)]
        if not pictures:
            raise InputError("no image was given; pass at least one")
        low, high = other.budget(min_pixels, max_pixels)
        share = shared_max_pixels(len(pictures), min_pixels=low, max_pixels=high)
        prepared = [other.prepare(picture, min_pixels=low, max_pixels=share) for picture in pictures]
        data = {
            "pixel_values": np.concatenate([patches for patches, _ in prepared]),
            "image_grid_hw": np.asarray([grid for _, grid in prepared], dtype=np.int64),
        }
        return BatchFeature(data, tensor_type=return_tensors)


def _check_fixed(options: dict[str, Any]) -> None:
    """Raise `InputError` for a transformers option that is not supported here."""
    for name, value in options.items():
        if name in SETTINGS or name == "return_tensors" or value is None:
            continue
        allowed = _FIXED.get(name)
        if allowed is None or (allowed and str(getattr(value, "value", value)) not in map(str, allowed)):
            hint = "use min_pixels and max_pixels" if name == "size" else "leave it out"
            raise InputError(f"{name} = {value!r} is not done by this image processor; {hint}")


def _flat(images: Any) -> list[Any]:
    if isinstance(images, (list, tuple)):
        return [leaf for image in images for leaf in _flat(image)]
    if (isinstance(images, np.ndarray) or is_tensor(images)) and images.ndim == 4:
        return list(images)
    return [images]


def _one_int(name: str, value: Any) -> int:
    """Unwrap integers that released configurations store as one-element lists."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer)) or value < 1 or int(value) != value:
        raise InputError(f"{name} must be a whole number above 0, not {value!r}")
    return int(value)

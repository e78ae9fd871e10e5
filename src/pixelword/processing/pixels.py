"""Any image mode and any array -> 8-bit RGB or RGBA, by the rules in `docs/data.md`.

If the mode or dtype defines the scale, it is used; otherwise it is estimated among the known ones. Values that
overshoot a little, as after resizing, are clipped.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from pixelword.errors import MediaError

#: How far values may leave their scale, as a share of it.
OVERSHOOT = 0.25
#: The largest values of known scales: floating, then 8, 10, 12, 14 and 16 bits.
SCALES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)


def to_rgb_or_rgba(image: Image.Image) -> Image.Image:
    """Convert a decoded image of any mode to RGB or, if it may be transparent, RGBA."""
    if image.mode in ("RGB", "RGBA") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _grey(_sixteen_bits(np.asarray(image.convert("I"))))
    if image.mode == "I":
        # PNG and PPM hold 16 bits and say so; older releases of Pillow open them as 32
        is_16_bit = image.format in ("PNG", "PPM")
        return _grey(_sixteen_bits(np.asarray(image)) if is_16_bit else deep_to_8_bit(np.asarray(image)))
    if image.mode == "F":
        return _grey(deep_to_8_bit(np.asarray(image)))
    if image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    return image.convert("RGB")


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values).convert("RGB")


def _sixteen_bits(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 65535) / 257).astype(np.uint8)  # 65535 -> 255


def deep_to_8_bit(values: np.ndarray) -> np.ndarray:
    """Convert floating-point values or integers of more than 16 bits, of unknown scale, to 8 bits.

    The scale is the smallest of `SCALES` that holds 99 % of the positive values, so that a few hot pixels darken
    nothing; negative values beyond the overshoot, or larger ones, mean that all are stretched between their 1st and
    99th percentiles. NaN is black; infinities are the ends of the scale.
    """
    is_floating = np.issubdtype(values.dtype, np.floating)
    wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    if not finite.size:
        return np.where(np.isposinf(wide), 255, 0).astype(np.uint8)
    low = float(np.percentile(finite, 1, method="lower"))
    positive = finite[finite > 0]
    high = float(np.percentile(positive if positive.size else finite, 99, method="lower"))
    scales = SCALES if is_floating else SCALES[1:]
    scale = next((item for item in scales if 0 < high <= (1 + OVERSHOOT) * item), None)
    if scale is not None and low >= -OVERSHOOT * scale:
        low, high = 0.0, scale
    elif low >= high:
        low, high = min(low, 0.0), max(high, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = (wide / 2 - low / 2) / (high / 2 - low / 2) * 255  # halves: the range of extremes exceeds a double
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255)).astype(np.uint8)


def from_array(array: np.ndarray) -> Image.Image:
    """Convert an array (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels to an image. Raises `MediaError`.

    bool; uint16 as 0..65535; other integers as 0..255; floating as 0..1, clipped where it overshoots a little.
    """
    if array.dtype.kind not in "biuf":
        raise MediaError(f"an array of {array.dtype} is not an image; give uint8, or floating values in 0..1")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise MediaError(
            f"an array of shape {array.shape} is not an image; give (height, width, channels) or (channels, height, "
            "width) with 1, 3 or 4 channels"
        )
    pixels = np.ascontiguousarray(_array_to_8_bit(np.asarray(array)))
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _array_to_8_bit(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "b":
        return array * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return _sixteen_bits(array)
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):  # also catches NaN
            raise MediaError(
                f"a floating array with values from {low:g} to {high:g} is not an image, whose values are in 0..1; "
                "scale it, or give uint8"
            )
        return np.rint(np.clip(array.astype(np.float32), 0, 1) * 255).astype(np.uint8)
    if low < 0 or high > 255:
        raise MediaError(
            f"an array of {array.dtype} with values from {low} to {high} is not an image, whose values are in 0..255; "
            "scale it, or give uint8"
        )
    return array.astype(np.uint8)

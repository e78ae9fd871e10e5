"""Limits on images and videos, above which they are rejected."""

from __future__ import annotations

from dataclasses import dataclass

# Twice Pillow's own MAX_IMAGE_PIXELS: above this Pillow itself refuses to open a file.
PILLOW_CEILING = 2 * 89_478_485


@dataclass(frozen=True)
class Limits:
    """Limits that are checked before any decoding.

    max_image_pixels: height * width in an image's (or a video stream's) header, checked before anything is decoded.
    max_bytes: size of an image in memory or on disk, and of anything fetched from a URL.
    max_aspect_ratio: longer side over shorter side (the released preparation refuses more than 200).
    max_frames: frames taken from one video, whatever `fps`, `max_frames` or `num_frames` ask for.
    url_timeout: seconds for each connection and read of a URL; url_deadline: seconds for the whole of it.
    max_redirects: hops followed from a URL; every hop's address is checked.
    """

    max_image_pixels: int = PILLOW_CEILING
    max_bytes: int = 256 * 1024 * 1024
    max_aspect_ratio: float = 200.0
    max_frames: int = 1024
    url_timeout: float = 10.0
    url_deadline: float = 60.0
    max_redirects: int = 3

"""The options of one call, under the names that transformers' callers use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pixelword.errors import InputError
from pixelword.processing.limits import Limits

# Accepted because transformers' pipelines and trainers pass them, and true here whatever their value.
HARMLESS = (
    "add_special_tokens",
    "return_mm_token_type_ids",
    "return_attention_mask",
    "do_sample_frames",
    "return_metadata",
)


@dataclass(frozen=True)
class MediaOptions:
    """How the pictures and videos of one call are read; None means the processor's own setting.

    frame_budget: the most frames that a video may cost; those are kept between which something changes.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    fps: float | None = None
    max_frames: int | None = None
    num_frames: int | None = None
    frame_budget: int | None = None
    limits: Limits = field(default_factory=Limits)
    allow_urls: bool = False
    allow_files: bool = True


MEDIA_OPTIONS = tuple(one.name for one in fields(MediaOptions))


def media_options(given: Mapping[str, Any]) -> MediaOptions:
    unknown = sorted(set(given) - set(MEDIA_OPTIONS) - set(HARMLESS))
    if unknown:
        raise InputError(f"unknown option {', '.join(unknown)}; use {', '.join(MEDIA_OPTIONS)}")
    return replace(MediaOptions(), **{name: given[name] for name in MEDIA_OPTIONS if given.get(name) is not None})


def flattened(options: Mapping[str, Any]) -> dict[str, Any]:
    """transformers lets options be grouped by modality: text_kwargs={...}, images_kwargs={...}."""
    flat = {key: value for key, value in options.items() if not key.endswith("_kwargs")}
    for key in ("common_kwargs", "text_kwargs", "images_kwargs", "videos_kwargs", "processor_kwargs"):
        flat.update(options.get(key) or {})
    return flat

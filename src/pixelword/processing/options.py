"""Options of one call, under transformers' names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pixelword.errors import InputError
from pixelword.processing.limits import Limits

#: Names that transformers' callers pass to every processor, and that ask for something that is not done here: they are
#: accepted where their value asks for nothing.
STANDARD = (
    *("documents", "enable_thinking", "reasoning_effort", "load_audio_from_video", "load_audio_backend"),
    *("audio", "sampling_rate", "text_pair", "text_target", "text_pair_target", "stride", "is_split_into_words"),
    *("return_token_type_ids", "return_overflowing_tokens", "return_special_tokens_mask", "return_offsets_mapping"),
    *("return_length", "return_text_replacement_offsets", "video_metadata", "verbose"),
)

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
    """Options for reading images and videos; None uses the processor's setting.

    frame_budget: Maximum number of frames per video, chosen where the video changes.
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


MEDIA_OPTIONS = tuple(item.name for item in fields(MediaOptions))


def media_options(given: Mapping[str, Any], base: MediaOptions | None = None) -> MediaOptions:
    """The options of media among `given`, the rest as in `base`. Raises `InputError` for others, unless they change
    nothing."""
    unknown = sorted(set(given) - set(MEDIA_OPTIONS) - set(HARMLESS) - set(STANDARD))
    if unknown:
        raise InputError(f"unknown option {', '.join(unknown)}; use {', '.join(MEDIA_OPTIONS)}")
    check_standard(given)
    selected = {name: given[name] for name in MEDIA_OPTIONS if given.get(name) is not None}
    return replace(base or MediaOptions(), **selected)


def check_standard(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for a transformers option that is not supported here."""
    for name in STANDARD:
        value = given.get(name)
        if not (value is None or value is False or (isinstance(value, (list, tuple, dict, int)) and not value)):
            raise InputError(f"{name} is not done by this processor; leave it out")


_GROUPS = ("common_kwargs", "text_kwargs", "images_kwargs", "videos_kwargs", "audio_kwargs", "processor_kwargs")


def flattened(options: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten transformers' options grouped by modality: text_kwargs={...}, images_kwargs={...}.

    Raises:
        InputError: an option is given twice.
    """
    flat = {key: value for key, value in options.items() if key not in _GROUPS}
    for group in _GROUPS:
        if not options.get(group):
            continue
        for name, value in flattened(options[group]).items():
            if name in flat and not (group == "common_kwargs" and flat[name] == value):  # what goes to every part
                raise InputError(f"{name} is given twice, by itself and in {group}; give it once")
            flat[name] = value
    return flat

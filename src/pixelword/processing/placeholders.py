"""Assigns a call's images and videos to its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from pixelword.errors import InputError
from pixelword.processing.videos import Video


def is_batch_of_conversations(conversation: Any) -> bool:
    return bool(conversation) and isinstance(conversation, (list, tuple)) and isinstance(conversation[0], (list, tuple))


def dealt(media: Any, counts: Sequence[int], name: str, placeholder: str) -> list[list[Any]]:
    """Return the media of each prompt: nested, or flat and distributed in order of the placeholders."""
    if media is None:
        return [[] for _ in counts]
    is_one = isinstance(media, (str, bytes, Image.Image, Video, np.ndarray, torch.Tensor)) or not isinstance(
        media, Sequence
    )
    listed = [media] if is_one else list(media)
    nested = bool(listed) and all(isinstance(entry, (list, tuple)) for entry in listed) and len(listed) == len(counts)
    if nested and (name == "images" or [len(entry) for entry in listed] == list(counts)):
        return [list(entry) for entry in listed]
    if len(listed) != sum(counts):
        raise InputError(f"the text has {sum(counts)} {placeholder} for {len(listed)} {name}; write one for each")
    rest = iter(listed)
    return [[next(rest) for _ in range(count)] for count in counts]

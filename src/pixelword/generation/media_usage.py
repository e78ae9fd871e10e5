"""What was read of the images and videos of a prompt, for answers' usage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pixelword.processing.types import ImageSpan


def image_usage(images: Sequence[ImageSpan]) -> list[dict[str, Any]]:
    """Return `{"image", "size", "seen", "tokens"}` for each image, and `box` for a part that is shown beside its whole.

    image: its number among those sent. size: (width, height) as sent, upright; seen: as the model is shown it; box: the
    part's, in sent pixels. tokens: visual ones.
    """
    return [
        {"image": origin.number, "size": [*origin.size], "seen": [*origin.seen], "tokens": len(span)}
        | ({} if origin.box == (0, 0, *origin.size) else {"box": [*origin.box]})
        for span in images
        if span.video is None and (origin := span.origin) is not None
    ]


def video_usage(images: Sequence[ImageSpan]) -> list[dict[str, Any]]:
    """Return `{"video", "frames", "size", "seen", "tokens"}` for each video: sizes of a frame, tokens of all."""
    found = []
    for video, spans in groupby((image for image in images if image.video is not None), key=lambda image: image.video):
        frames = list(spans)
        origin = frames[0].origin
        if origin is not None:
            usage = {"video": video, "frames": len(frames), "size": [*origin.size], "seen": [*origin.seen]}
            found.append({**usage, "tokens": sum(map(len, frames))})
    return found


def media_usage(images: Sequence[ImageSpan]) -> dict[str, Any]:
    """Return `images` and `videos` of a usage, each where there are any."""
    usage = {"images": image_usage(images), "videos": video_usage(images)}
    return {name: entries for name, entries in usage.items() if entries}

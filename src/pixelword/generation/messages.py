"""Conversations in chat form, as a session takes them."""

from __future__ import annotations

from typing import Any

from pixelword.errors import InputError

Message = dict[str, Any]


def user_message(text: str, images: Any = (), videos: Any = ()) -> Message:
    """One turn of the user: the images, then the videos, then the words.

    Args:
        text: The question.
        images: An image or a sequence of them, in any form that :func:`pixelword.processing.images.load_image` reads.
        videos: A video or a sequence of them, likewise.

    Raises:
        InputError: the question has no words.
    """
    if not isinstance(text, str):
        raise InputError(f"the question is of type {type(text).__name__}: give a string")
    if not text.strip():
        raise InputError("the question is empty: write one")
    parts: list[dict[str, Any]] = [{"type": "image", "image": image} for image in _as_list(images)]
    parts += [{"type": "video", "video": video} for video in _as_list(videos)]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def _as_list(media: Any) -> list[Any]:
    """``images="a.png"`` means one image, not five letters."""
    return list(media) if isinstance(media, list | tuple) else [media]


def conversation(*turns: Message, system: str | None = None) -> list[Message]:
    """The turns, after a system message where there is one."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *turns]


def assistant_message(text: str) -> Message:
    return {"role": "assistant", "content": text}

"""Messages -> one sequence of control tokens, text and images.

Messages have transformers' chat form: {"role": "system" | "user" | "assistant" | "tool", "content": str or list of
parts}, an assistant's also "tool_calls" (`tools.py`), a part being {"type": "text", "text": ...}, {"type": "image",
"image": ...} or {"type": "video", "video": ...}. A user's words are words: a literal `<image>` in them is text. The
format is the released one: ChatML without a default system turn; tools are in Qwen3's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pixelword.errors import InputError
from pixelword.processing.tokenizer import IMG_CONTEXT, IMG_END, IMG_START, TURN_END, TURN_START
from pixelword.processing.tools import (
    AFTER_TOOLS,
    BEFORE_TOOLS,
    CALL_END,
    CALL_START,
    RESPONSE_END,
    RESPONSE_START,
    TOOL_MARKS,
    called,
    offered,
)
from pixelword.processing.types import Cutout
from pixelword.processing.types import Encoded as Encoded  # its name before it had a module of its own
from pixelword.processing.videos import Video, frame_label, header

IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER = "<image>", "<video>"
ROLES = ("system", "user", "assistant", "tool")

# What `as_text(segments(...))` writes, for transformers' own template machinery and for servers that read the file.
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")
#: Before it marked assistant text, and before it knew tools.
_EARLIER_TEMPLATES = frozenset(
    {
        "506eaf79adcf00658bf8b35ae795577e171c82b087f7e4d78dc3ea5189773a30",
        "a0101cf0c39c8160c32bd8ceca820dede76014ed9b0d29930aa0ce78c55431cf",
    }
)


def is_own_template(template: str | None) -> bool:
    """Whether the template is None, the packaged one, or an earlier version of it."""
    if template is None or template == CHAT_TEMPLATE:
        return True
    return hashlib.sha256(template.encode()).hexdigest() in _EARLIER_TEMPLATES


@dataclass(frozen=True)
class Words:
    """Plain text. answer: whether it is assistant text."""

    text: str
    answer: bool = False


@dataclass(frozen=True)
class Control:
    """A control token, written by id; a mark of tools in letters where the tokenizer has none. learn: whether it is a
    label."""

    token: str
    learn: bool = False


@dataclass(frozen=True)
class Picture:
    """An image source, or the frame `timestamp` seconds into video number `video` of the conversation.

    number: its place among the images sent, or among the frames of its video; sent_size: (width, height) that a frame
    had before it was shrunk, if it was.
    """

    source: Any
    video: int | None = None
    timestamp: float | None = None
    number: int = 0
    sent_size: tuple[int, int] | None = None

    @property
    def frame(self) -> bool:
        """Whether this is a video frame."""
        return self.video is not None


@dataclass(frozen=True)
class Clip:
    """A video source; `expand` turns it into its header, labels and frames."""

    source: Any
    options: Mapping[str, Any]


@dataclass(frozen=True)
class NoSource:
    """Source of a bare {"type": "image"}: enough to write a prompt, an error when pixels are needed."""

    message: str


Segment = Words | Control | Picture | Clip


def content_from_text(text: str, images: Sequence[Any]) -> list[dict[str, Any]]:
    """Split a trusted text into parts; each `<image>` (and the newline after it) becomes one of `images`."""
    pieces = re.split(re.escape(IMAGE_PLACEHOLDER) + r"\n?", text)
    if len(pieces) - 1 != len(images):
        raise InputError(
            f"the text has {len(pieces) - 1} {IMAGE_PLACEHOLDER} for {len(images)} images; give one for each"
        )
    parts: list[dict[str, Any]] = []
    for index, piece in enumerate(pieces):
        if index:
            parts.append({"type": "image", "image": images[index - 1]})
        if piece:
            parts.append({"type": "text", "text": piece})
    return parts


def segments(
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool = False,
    continue_final_message: bool = False,
    need_sources: bool = True,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> list[Segment]:
    """Return a conversation's segments, adjacent text merged, videos unexpanded. Raises `InputError` if malformed.

    need_sources: reject images and videos without a source. tools: those that the assistant may call.
    """
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence) or not messages:
        raise InputError("messages must be a list of {'role': ..., 'content': ...}; give at least one message")
    if continue_final_message and (add_generation_prompt or messages[-1].get("role") != "assistant"):
        raise InputError("continue_final_message needs an assistant message last, and no add_generation_prompt")
    found: list[Segment] = []
    roles = [message.get("role") if isinstance(message, Mapping) else None for message in messages]
    if tools:
        found += _tools_turn(messages[0] if roles[0] == "system" else None, tools)
    for index, message in enumerate(messages):
        is_open = continue_final_message and index == len(messages) - 1
        if roles[index] == "tool":
            found += _results(message, index, roles)
        elif not (tools and index == 0 and roles[0] == "system"):
            found += _turn(message, index, is_open)
    for segment in found if need_sources else ():
        if isinstance(segment, Picture | Clip) and isinstance(segment.source, NoSource):
            raise InputError(segment.source.message)
    if add_generation_prompt:
        found += [Control(TURN_START), Words("assistant\n")]
    return list(_merged(found))


def _turn(message: Mapping[str, Any], index: int, is_open: bool) -> Iterator[Segment]:
    where = f"message {index + 1}"
    if not isinstance(message, Mapping) or "role" not in message:
        raise InputError(f"{where} is not a {{'role': ..., 'content': ...}}; give it a role and a content")
    role = message["role"]
    if role not in ROLES:
        raise InputError(f"{where} has the role {role!r}; use one of {', '.join(ROLES)}")
    answer = role == "assistant"
    yield Control(TURN_START)
    yield Words(f"{role}\n")
    calls = (message.get("tool_calls") or ()) if answer else ()
    content = message.get("content")
    for segment in _content("" if content is None and calls else content, where, answer):
        if answer and not isinstance(segment, Words):
            raise InputError(f"{where} is an assistant message with an image or video; put it into a user message")
        yield segment
    for number, call in enumerate(calls):
        if number or content:
            yield Words("\n", answer)
        yield Control(CALL_START, learn=True)
        yield Words(called(call, where), answer)
        yield Control(CALL_END, learn=True)
    if not is_open:
        yield Control(TURN_END, learn=answer)
        yield Words("\n", answer=answer)


def _tools_turn(system: Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]]) -> Iterator[Segment]:
    """The system turn with the tools, after the system message where there is one."""
    yield Control(TURN_START)
    yield Words("system\n")
    if system is not None:
        yield from _content(system.get("content"), "message 1", False)
        yield Words("\n\n")
    yield from _marked(BEFORE_TOOLS)
    yield Words(offered(tools))
    yield from _marked(AFTER_TOOLS)
    yield Control(TURN_END)
    yield Words("\n")


def _results(message: Mapping[str, Any], index: int, roles: Sequence[str | None]) -> Iterator[Segment]:
    """What a tool returned, in a turn of the user; that of several tools in one."""
    if index == 0 or roles[index - 1] != "tool":
        yield Control(TURN_START)
        yield Words("user")
    yield from _marked(f"\n{RESPONSE_START}\n")
    yield from _content(message.get("content"), f"message {index + 1}", False)
    yield from _marked(f"\n{RESPONSE_END}")
    if index + 1 == len(roles) or roles[index + 1] != "tool":
        yield Control(TURN_END)
        yield Words("\n")


def _marked(text: str) -> Iterator[Segment]:
    """Text of our own, whose marks of tools are tokens."""
    for piece in re.split("(" + "|".join(TOOL_MARKS) + ")", text):
        yield Control(piece) if piece in TOOL_MARKS else Words(piece)


def _content(content: Any, where: str, answer: bool) -> list[Segment]:
    """Return parts in order; a single image or video goes first, several keep their positions."""
    if content is None:
        raise InputError(f"{where} has no content; give it a text or a list of parts")
    if isinstance(content, str):
        return [Words(content, answer)]
    if not isinstance(content, Sequence):
        raise InputError(f"{where} has a content of type {type(content).__name__}; give it a text or a list of parts")
    parts = [_part(part, f"{where}, part {number + 1}", answer) for number, part in enumerate(content)]
    media = [part for part in parts if not isinstance(part, Words)]
    if len(media) == 1:
        parts = media + [part for part in parts if isinstance(part, Words)]
    found: list[Segment] = []
    for part in parts:
        found.append(part)
        if isinstance(part, Picture):
            found.append(Words("\n"))
    return found


def _part(part: Any, where: str, answer: bool) -> Words | Picture | Clip:
    if not isinstance(part, Mapping) or "type" not in part:
        raise InputError(f"{where} is not a {{'type': 'text' | 'image' | 'video', ...}}; give it a type")
    kind = part["type"]
    if kind == "text":
        if not isinstance(part.get("text"), str):
            raise InputError(f"{where} is a text part without a 'text' string; give it one")
        return Words(part["text"], answer)
    if kind in ("image", "image_url"):
        return Picture(_source(part, ("image", "image_url", "url", "path", "base64"), where))
    if kind in ("video", "video_url"):
        options = {key: part[key] for key in ("fps", "max_frames", "num_frames") if part.get(key) is not None}
        return Clip(_source(part, ("video", "video_url", "url", "path", "base64"), where), options)
    raise InputError(f"{where} has the type {kind!r}; use text, image or video")


def _source(part: Mapping[str, Any], keys: Iterable[str], where: str) -> Any:
    for key in keys:
        value = part.get(key)
        if value is not None:
            return value["url"] if isinstance(value, Mapping) and "url" in value else value
    return NoSource(f"{where} names no {part['type']}; put it under the key {part['type']!r}")


def expand(clip: Video, number: int = 0) -> list[Segment]:
    """Return a video's segments: its header, then a label and an image per frame; without timestamps, only images.

    Args:
        number: Index of the video in the conversation.
    """
    found: list[Segment] = [Words(header(len(clip.frames), clip.duration))] if clip.timestamps else []
    for place, frame in enumerate(clip.frames):
        size = clip.sizes[place] if clip.sizes else None
        seconds = float(clip.timestamps[place]) if clip.timestamps else None
        if seconds is not None:
            found.append(Words(frame_label(seconds)))
        found += [Picture(frame, number, seconds, place, size), Words("\n")]
    return found


def _merged(found: Iterable[Segment]) -> Iterator[Segment]:
    """Merge adjacent text into one string, so that it is tokenized as a whole.

    Assistant text stays separate from the `assistant\\n` before it: that is where generation starts.
    """
    held: Words | None = None
    for segment in found:
        if held is not None and isinstance(segment, Words) and held.answer == segment.answer:
            held = Words(held.text + segment.text, held.answer)
            continue
        if held is not None and held.text:
            yield held
        held = segment if isinstance(segment, Words) else None
        if held is None:
            yield segment
    if held is not None and held.text:
        yield held


def expanded(found: Iterable[Segment], clips: Iterable[Video]) -> list[Segment]:
    """Replace every `Clip` by its frames, and number the images; `clips` are the loaded videos, in order."""
    videos = enumerate(clips)
    images = 0
    flat: list[Segment] = []
    for segment in found:
        if isinstance(segment, Clip):
            number, video = next(videos)
            flat += expand(video, number)
            continue
        if isinstance(segment, Picture):
            images += not isinstance(segment.source, Cutout)  # which has the number of the image that it is of
            segment = replace(segment, number=max(images - 1, 0))
        flat.append(segment)
    return list(_merged(flat))


def as_text(found: Iterable[Segment], visual_tokens: Sequence[int] | None = None) -> str:
    """Write the prompt, with `<image>` and `<video>` for media, or `<img>...</img>` with the given token counts."""
    pieces: list[str] = []
    counts = iter(visual_tokens or ())
    for segment in found:
        if isinstance(segment, Words):
            pieces.append(segment.text)
        elif isinstance(segment, Control):
            pieces.append(segment.token)
        elif isinstance(segment, Clip):
            pieces.append(VIDEO_PLACEHOLDER)
        else:
            pieces.append(IMAGE_PLACEHOLDER if visual_tokens is None else picture_text(next(counts)))
    return "".join(pieces)


def picture_text(tokens: int) -> str:
    return IMG_START + IMG_CONTEXT * tokens + IMG_END


def segments_from_prompt(
    prompt: str, images: Sequence[Any], videos: Sequence[Any], control: Collection[str]
) -> list[Segment]:
    """Parse a trusted, formatted prompt with `control` tokens; `<image>` and `<video>` take the next medium."""
    for token in (IMG_START, IMG_END, IMG_CONTEXT):
        if token in prompt:
            raise InputError(
                f"the prompt holds {token}; write {IMAGE_PLACEHOLDER} where an image belongs and pass it in images"
            )
    counts = {IMAGE_PLACEHOLDER: len(images), VIDEO_PLACEHOLDER: len(videos)}
    for placeholder, given in counts.items():
        if prompt.count(placeholder) != given:
            noun = "images" if placeholder == IMAGE_PLACEHOLDER else "videos"
            raise InputError(
                f"the prompt has {prompt.count(placeholder)} {placeholder} for {given} {noun}; write one for each"
            )
    tokens = sorted({*control, *counts}, key=len, reverse=True)
    next_image, next_video = iter(images), iter(videos)
    found: list[Segment] = []
    for piece in re.split("(" + "|".join(map(re.escape, tokens)) + ")", prompt):
        if piece == IMAGE_PLACEHOLDER:
            found.append(Picture(next(next_image)))
        elif piece == VIDEO_PLACEHOLDER:
            found.append(Clip(next(next_video), {}))
        else:
            found.append(Control(piece) if piece in control else Words(piece))
    return list(_merged(found))

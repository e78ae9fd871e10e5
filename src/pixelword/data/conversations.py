"""Sample schemas of data files -> messages.

- turns, under `messages` or `conversations`: {"role": ..., "content": ...}, or LLaVA's and ShareGPT's {"from": ...,
  "value": ...}. A content is a text, or a list of typed parts. Images stand in `image` or `images`, videos in `video`
  or `videos`; `<image>` and `<video>` in the text, or parts without a source, say where each belongs. Qwen-VL's
  `<img>path</img>` in a user's text is an image by itself.
- `texts`, a list of {"user": ..., "assistant": ...}, as FineVision and the Cauldron have them, images first.
- `caption` or `text`: with images, what to say of them; without, a text to read on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pixelword.errors import InputError
from pixelword.processing.chat import IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER
from pixelword.processing.image_files import SUFFIXES as IMAGE_SUFFIXES
from pixelword.processing.tokenizer import valid_text
from pixelword.processing.video_file import SUFFIXES as VIDEO_SUFFIXES

Resolve = Callable[[Any], Any]

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_KINDS = {"image": "image", "video": "video"}
_SOURCES = ("url", "path", "bytes")  # what a part may name its medium by, besides its own type
_OPTIONS = ("fps", "max_frames", "num_frames")
_PLACEHOLDER = re.compile(f"({re.escape(IMAGE_PLACEHOLDER)}|{re.escape(VIDEO_PLACEHOLDER)}|<img>[^<>\n]+</img>)\n?")
_NAMED_IMAGE = re.compile(r"<img>([^<>\n]+)</img>")  # Qwen-VL's: the path stands in the text
# A place for an image in the words of other models, or a placeholder on a line of its own.
_FOREIGN = re.compile(
    r"^\s*<(?:image|video)>|<(?:image|video)>\s*$|<\|?(?:image|video)[ _-]?(?:\d+|pad|placeholder|here)?\|>"
    r"|<(?:image|video)[ _]\d+>|<\|vision_start\|>|<image_placeholder>|<ImageHere>",
    re.IGNORECASE,
)
_MEDIA_KEYS = re.compile(
    r"(image|img|picture|photo|video|clip|frame|media)s?(_?(path|file|filename|file_name|name|url|bytes|b64|base64|data)s?)?",
    re.IGNORECASE,
)
_OWN_KEYS = ("image", "images", "video", "videos")


def messages_of(values: Mapping[str, Any], resolve: Resolve) -> tuple[dict[str, Any], ...]:
    """Convert a sample to messages; `resolve` maps its image and video entries to sources.

    Raises InputError: no known form, an unknown role, no answer, or media that do not match the places for them.
    """
    media = _Media(values, resolve)
    turns = list(_turns(values, bool(media)))
    if not turns:
        raise InputError("the conversation has no turns; give a question and an answer, or remove it")
    messages = [_message(turn, f"turn {number}", media) for number, turn in enumerate(turns, start=1)]
    media.place_rest(messages, in_front="texts" in values)
    if not any(part["type"] in _KINDS for message in messages for part in _parts(message)):
        _check_no_media_meant(values, messages)
    answers = [message for message in messages if message["role"] == "assistant"]
    if not answers:
        raise InputError("no answer to learn from: no turn is the assistant's")
    if not all(_says_something(message["content"]) for message in answers):
        raise InputError("an answer is empty; write what to say, or leave the turn out")
    return tuple(messages)


def _turns(values: Mapping[str, Any], has_media: bool) -> Iterator[Mapping[str, Any]]:
    """Return the turns of any schema, as {"role": ..., "content": ...} or {"from": ..., "value": ...}."""
    if isinstance(values.get("system"), str) and values["system"]:
        yield {"role": "system", "content": values["system"]}
    for name in ("messages", "conversations"):
        if values.get(name) is not None:
            if not _is_list(values[name]):
                raise InputError(f"{name!r} must be a list of turns")
            yield from values[name]
            return
    if values.get("texts") is not None:
        for pair in values["texts"] if _is_list(values["texts"]) else [values["texts"]]:
            if not isinstance(pair, Mapping) or not {"user", "assistant"} <= pair.keys():
                raise InputError("'texts' must be a list of {'user': ..., 'assistant': ...}")
            yield {"role": "user", "content": pair["user"] or ""}
            yield {"role": "assistant", "content": pair["assistant"] or ""}
        return
    for name in ("caption", "text"):
        if values.get(name) is not None:
            if has_media:
                yield {"role": "user", "content": ""}
            yield {"role": "assistant", "content": values[name]}
            return
    raise InputError(
        "no conversation in it: it needs 'messages', 'conversations', 'texts', or a 'caption' or 'text'; "
        f"it has {', '.join(map(str, values)) or 'nothing'}"
    )


def _parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [] if isinstance(message["content"], str) else message["content"]


def _check_no_media_meant(values: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError if a sample without media names some under keys that are not read."""
    if values.get("caption") is not None and not any(values.get(name) for name in ("messages", "conversations")):
        raise InputError("a caption without an image or a video; name it under 'image' or 'video', or write 'text'")
    for key, value in values.items():
        if key not in _OWN_KEYS and _names_media(str(key), value):
            raise InputError(f"no image or video is read, but {key!r} looks like one; name it 'image' or 'video'")
    for number, message in enumerate(messages, start=1):
        texts = (
            [message["content"]]
            if isinstance(message["content"], str)
            else [part.get("text", "") for part in message["content"]]
        )
        for text in texts:
            found = _FOREIGN.search(text) if message["role"] == "user" else None
            found = found or _NAMED_IMAGE.search(text)
            if found:
                raise InputError(
                    f"message {number} has {found[0].strip()[:60]!r} in its text, and the sample has no image or "
                    "video; name it under 'image' or 'video'"
                )


def _names_media(key: str, value: Any) -> bool:
    """Whether a value of a sample names an image or video file, by its extension or its key."""
    if isinstance(value, Mapping):
        return any(_names_media(key, value.get(name)) for name in ("bytes", "path"))
    if _is_list(value):
        return any(_names_media(key, item) for item in value)
    if isinstance(value, bytes):
        return len(value) > 0
    if not isinstance(value, str) or not value:
        return False
    suffix = value.partition("?")[0].rpartition(".")[2].lower()
    is_name = len(value) < 1024 and not any(c.isspace() for c in value) and "." in value
    is_file = is_name and suffix in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, "heic", "heif", "jxl", "svg")
    return is_file or value[:11].lower() in ("data:image/", "data:video/") or _MEDIA_KEYS.fullmatch(key) is not None


class _Media:
    """Images and videos listed by a sample, outside its turns, taken in order."""

    def __init__(self, values: Mapping[str, Any], resolve: Resolve) -> None:
        self.resolve = resolve
        self.given: dict[str, list[Any]] = {}
        self.places = {"image": 0, "video": 0}
        for kind in _KINDS:
            self.given[kind] = [entry for name in (kind, f"{kind}s") for entry in _listed(values.get(name))]

    def __bool__(self) -> bool:
        return any(self.given.values())

    def next(self, kind: str) -> Any:
        """Return the next medium of this kind; None when all are used (`place_rest` reports it)."""
        self.places[kind] += 1
        number = self.places[kind] - 1
        return self.source(self.given[kind][number]) if number < len(self.given[kind]) else None

    def source(self, written: Any) -> Any:
        """Return one medium; a list of images is the frames of a video."""
        return [self.resolve(item) for item in written] if _is_list(written) else self.resolve(written)

    def place_rest(self, messages: Sequence[dict[str, Any]], *, in_front: bool) -> None:
        """Put a single unplaced medium, and those of `texts`, before the first question, as LLaVA and NEO do."""
        total = sum(map(len, self.given.values()))
        if total and not any(self.places.values()) and (total == 1 or in_front or _is_caption(messages)):
            first = next((message for message in messages if message["role"] == "user"), None)
            if first is None:
                raise InputError("no user turn to put the image into; add a question")
            parts = [{"type": kind, kind: self.next(kind)} for kind in _KINDS for _ in self.given[kind]]
            content = first["content"]
            words = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
            first["content"] = [*parts, *words]
        for kind, name in _KINDS.items():
            if self.places[kind] != len(self.given[kind]):
                raise InputError(
                    f"the user's turns have {self.places[kind]} <{kind}> for {len(self.given[kind])} {name}s; "
                    "write one for each"
                )


def _message(turn: Any, where: str, media: _Media) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        raise InputError(f"{where} is not an object {{'role': ..., 'content': ...}} or {{'from': ..., 'value': ...}}")
    is_llava = "from" in turn
    spoken, content = (turn["from"], turn.get("value")) if is_llava else (turn.get("role"), turn.get("content"))
    role = _ROLES.get(spoken) if isinstance(spoken, str) else None
    if role is None:
        raise InputError(f"{where} has the role {spoken!r}; use one of {', '.join(_ROLES)}")
    if own := [name for name in (*_OWN_KEYS, "audio", "audios") if turn.get(name)]:
        raise InputError(f"{where} has {own[0]!r} beside its text; put it into the sample, or into a typed part")
    if isinstance(content, str):
        content = valid_text(content, where)
        # in the chat form words are words, unless the sample lists media that need a place
        if role != "assistant" and (is_llava or media or _NAMED_IMAGE.search(content)):
            return {"role": role, "content": _split(content, media)}
        return {"role": role, "content": content}
    if content is None or not _is_list(content):
        raise InputError(f"{where} has no content; give it a text or a list of typed parts")
    return {"role": role, "content": [_part(part, f"{where}, part {k}", media) for k, part in enumerate(content, 1)]}


def _split(text: str, media: _Media) -> str | list[dict[str, Any]]:
    """Split a text into parts; each placeholder (and the newline after it) becomes the next medium."""
    pieces = _PLACEHOLDER.split(text)
    if len(pieces) == 1:
        return text
    if not pieces[-1]:  # "What is this?\n<image>"
        pieces[-3] = pieces[-3].removesuffix("\n")
    parts: list[dict[str, Any]] = []
    for words, placeholder in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        if words:
            parts.append({"type": "text", "text": words})
        if placeholder:
            parts.append(_placed(placeholder, media))
    return parts


def _placed(placeholder: str, media: _Media) -> dict[str, Any]:
    """Return the part for a placeholder: the next medium, or the image that it names."""
    if named := _NAMED_IMAGE.fullmatch(placeholder):
        return {"type": "image", "image": media.source(named[1].strip())}
    kind = placeholder.strip("<>")
    return {"type": kind, kind: media.next(kind)}


def _part(part: Any, where: str, media: _Media) -> dict[str, Any]:
    """Resolve the medium of a typed part; without a source, it takes the next one the sample lists."""
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InputError(f"{where} is not a {{'type': 'text' | 'image' | 'video', ...}}; give it a type")
    if part["type"] == "text":
        if not isinstance(part.get("text"), str):
            raise InputError(f"{where} is a text part without a 'text'; give it one")
        return {"type": "text", "text": valid_text(part["text"], where)}
    kind = part["type"].removesuffix("_url")
    if kind not in _KINDS:
        raise InputError(f"{where} has the type {part['type']!r}; use text, image or video")
    options = {name: part[name] for name in _OPTIONS if part.get(name) is not None}
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{where} has {name}: {value!r}; give a number")
    if part.get("base64") is not None:
        return {"type": kind, "base64": part["base64"], **options}
    written = next((part[name] for name in (kind, f"{kind}_url", *_SOURCES) if part.get(name) is not None), None)
    if isinstance(written, Mapping) and written.get("url") is not None:
        written = written["url"]
    return {"type": kind, kind: media.next(kind) if written is None else media.source(written), **options}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, Mapping))


def _listed(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if _is_list(value) else [value]


def _is_caption(messages: Sequence[Mapping[str, Any]]) -> bool:
    return [message["content"] for message in messages if message["role"] == "user"] == [""]


def _says_something(content: Any) -> bool:
    texts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return any(text.strip() for text in texts)

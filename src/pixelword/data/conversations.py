"""What people write into their data files -> messages: the forms that a sample may have.

- turns, under `messages` or `conversations`: {"role": ..., "content": ...}, or LLaVA's and ShareGPT's {"from": ...,
  "value": ...}. A content is a text, or a list of typed parts. Pictures stand in `image` or `images`, videos in `video`
  or `videos`; `<image>` and `<video>` in the text, or parts without a source, say where each belongs.
- `texts`, a list of {"user": ..., "assistant": ...}, as FineVision and the Cauldron have them, pictures first.
- `caption` or `text`: with pictures, what to say of them; without, a text to read on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pixelword.errors import InputError
from pixelword.processing.conversation import IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER

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
_KINDS = {"image": "picture", "video": "video"}
_SOURCES = ("url", "path", "bytes")  # what a part may name its medium by, besides its own type
_OPTIONS = ("fps", "max_frames", "num_frames")
_PLACEHOLDER = re.compile(f"({re.escape(IMAGE_PLACEHOLDER)}|{re.escape(VIDEO_PLACEHOLDER)})\n?")


def messages_of(values: Mapping[str, Any], resolve: Resolve) -> tuple[dict[str, Any], ...]:
    """The messages of a sample, pictures and videos as `resolve` makes them of what is written for them.

    Raises InputError: no known form, an unknown role, no answer, or media that do not match the places for them.
    """
    media = _Media(values, resolve)
    turns = list(_turns(values, bool(media)))
    if not turns:
        raise InputError("the conversation has no turns; give a question and an answer, or remove it")
    messages = [_message(turn, f"turn {number}", media) for number, turn in enumerate(turns, start=1)]
    media.place_rest(messages, in_front="texts" in values)
    answers = [message for message in messages if message["role"] == "assistant"]
    if not answers:
        raise InputError("no answer to learn from: no turn is the assistant's")
    if not all(_says_something(message["content"]) for message in answers):
        raise InputError("an answer is empty; write what to say, or leave the turn out")
    return tuple(messages)


def _turns(values: Mapping[str, Any], has_media: bool) -> Iterator[Mapping[str, Any]]:
    """The turns of any form, as {"role": ..., "content": ...} or {"from": ..., "value": ...}."""
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


class _Media:
    """The pictures and videos of a sample that its turns do not hold themselves, taken in order."""

    def __init__(self, values: Mapping[str, Any], resolve: Resolve) -> None:
        self.resolve = resolve
        self.given: dict[str, list[Any]] = {}
        self.places = {"image": 0, "video": 0}
        for kind in _KINDS:
            self.given[kind] = [one for name in (kind, f"{kind}s") for one in _listed(values.get(name))]

    def __bool__(self) -> bool:
        return any(self.given.values())

    def next(self, kind: str) -> Any:
        """What belongs to the next place of this kind; None when all are taken (`place_rest` tells of it)."""
        self.places[kind] += 1
        number = self.places[kind] - 1
        return self.source(self.given[kind][number]) if number < len(self.given[kind]) else None

    def source(self, written: Any) -> Any:
        """One medium; a list of pictures is a video's frames."""
        return [self.resolve(one) for one in written] if _is_list(written) else self.resolve(written)

    def place_rest(self, messages: Sequence[dict[str, Any]], *, in_front: bool) -> None:
        """A lone medium without a place, and those of `texts`, go before the first question, as LLaVA and NEO do."""
        total = sum(map(len, self.given.values()))
        if total and not any(self.places.values()) and (total == 1 or in_front or _is_caption(messages)):
            first = next((message for message in messages if message["role"] == "user"), None)
            if first is None:
                raise InputError("no turn of the user's to put the picture into; add a question")
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
        raise InputError(f"{where} is no object {{'role': ..., 'content': ...}} or {{'from': ..., 'value': ...}}")
    is_llava = "from" in turn
    spoken, content = (turn["from"], turn.get("value")) if is_llava else (turn.get("role"), turn.get("content"))
    role = _ROLES.get(spoken) if isinstance(spoken, str) else None
    if role is None:
        raise InputError(f"{where} has the role {spoken!r}; use one of {', '.join(_ROLES)}")
    if isinstance(content, str):
        content = _text(content, where)
        # in the chat form words are words, unless the sample lists media that need a place
        if role != "assistant" and (is_llava or media):
            return {"role": role, "content": _split(content, media)}
        return {"role": role, "content": content}
    if content is None or not _is_list(content):
        raise InputError(f"{where} has no content; give it a text or a list of typed parts")
    return {"role": role, "content": [_part(part, f"{where}, part {k}", media) for k, part in enumerate(content, 1)]}


def _split(text: str, media: _Media) -> str | list[dict[str, Any]]:
    """The parts of a text in which each placeholder (and the newline after it) stands for the next medium."""
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
            kind = placeholder.strip("<>")
            parts.append({"type": kind, kind: media.next(kind)})
    return parts


def _part(part: Any, where: str, media: _Media) -> dict[str, Any]:
    """A typed part with its medium found; without a source it is the next of those that the sample lists."""
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InputError(f"{where} is no {{'type': 'text' | 'image' | 'video', ...}}; give it a type")
    if part["type"] == "text":
        if not isinstance(part.get("text"), str):
            raise InputError(f"{where} is a text part without a 'text'; give it one")
        return {"type": "text", "text": _text(part["text"], where)}
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


def _text(text: str, where: str) -> str:
    """The text, if it is one: JSON can spell half a character, which no file could hold and no tokenizer reads."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{where} has half a character ({text[error.start]!r}) in its text; remove it") from error
    return text


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

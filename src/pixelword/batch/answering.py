"""Answers rows with a model in this process: images are read ahead, and all rows under way share one running batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pixelword.batch.journal import content_key
from pixelword.batch.rows import Row
from pixelword.generation.engine import Engine
from pixelword.generation.media_usage import media_usage
from pixelword.generation.messages import conversation, user_message
from pixelword.generation.prepared_weights import quantization_of
from pixelword.generation.request import BatchingOptions
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.processing.boxes import boxes_schema, places
from pixelword.processing.media_io import is_url, read_bytes
from pixelword.processing.options import MediaOptions
from pixelword.utils.files import sha256

#: Memory for prompts' beginnings: rows about the same image follow each other.
_PREFIX_BYTES = 64 << 20


class Content:
    """The media of a row, read. images: encoded bytes; videos: bytes, or the path of a file. key: as `content_key`."""

    def __init__(self, images: Sequence[bytes], videos: Sequence[bytes | str], key: str) -> None:
        self.images, self.videos, self.key = images, videos, key


class Reader:
    """Reads the media of rows, and knows what else their answers depend on.

    Args:
        media: Options of media.
        identity: What answers depend on: model and options, ready for JSON.
        form: The form of all answers.
        boxes: The form of an answer is a list of boxes, in the images of its row.
    """

    def __init__(
        self,
        media: MediaOptions,
        identity: Mapping[str, Any] | None = None,
        form: StructuredOutputs | None = None,
        *,
        boxes: bool = False,
    ) -> None:
        self.media, self._identity, self._form, self._boxes = media, dict(identity or {}), form, boxes

    def read(self, row: Row) -> Content:
        """Read a row's media. Raises MediaError."""
        images = [self._bytes(source, "image") for source in row.images]
        videos = [source if _is_file(source) else self._bytes(source, "video") for source in row.videos]
        digests = [len(images), *map(_digest, images), *map(_digest, videos)]
        form = self.form(len(images))
        identity = self._identity if form is None else {**self._identity, "schema": form.json}
        text = json.dumps(identity, sort_keys=True, default=str)
        return Content(images, videos, content_key(text, row.question, digests))

    def _bytes(self, source: str, kind: str) -> bytes:
        return read_bytes(source, kind=kind, limits=self.media.limits, allow_urls=self.media.allow_urls)

    def form(self, images: int) -> StructuredOutputs | None:
        """Return the form of the answer to a row with this number of images."""
        return boxes_form(images) if self._boxes else self._form


@lru_cache
def boxes_form(images: int) -> StructuredOutputs:
    """The form of an answer that is a list of boxes; see `boxes_schema`."""
    return StructuredOutputs(json=boxes_schema(images), place="--schema boxes")


class Answerer:
    """A session's model with an engine of its own; several threads may use it at once. Use as a context.

    Args:
        session: Its model, processor and media options.
        sampling: How answers are drawn.
        system: The system message.
        identity: What else answers depend on: model and options, ready for JSON.
        boxes: Answers are lists of boxes, each in the images of its row.
        max_num_seqs: Rows that run at once.
    """

    def __init__(
        self,
        session: Session,
        sampling: Sampling,
        *,
        system: str | None = None,
        identity: Mapping[str, Any] | None = None,
        boxes: bool = False,
        max_num_seqs: int = 16,
    ) -> None:
        self.media, self.sampling, self.system = session.media, sampling, system
        self.max_num_seqs = max_num_seqs
        self._reader = Reader(session.media, identity, sampling.structured_outputs, boxes=boxes)
        options = BatchingOptions(
            max_num_seqs=max_num_seqs, prefix_bytes=_PREFIX_BYTES, quantization=quantization_of(session.model)
        )
        self.engine = Engine(session.model, session.processor, options)

    @property
    def alive(self) -> bool:
        """Whether it can still answer."""
        return self.engine.alive

    def read(self, row: Row) -> Content:
        """Read a row's media. Raises MediaError."""
        return self._reader.read(row)

    def answer(self, row: Row, content: Content) -> dict[str, Any]:
        """Return the fields of a row's answer. Raises PixelwordError."""
        message = user_message(row.question, list(content.images), list(content.videos))
        messages = conversation(message, system=self.system)
        prompt = self.engine.processor.encode(messages, add_generation_prompt=True, media=self.media)
        room = max(1, self.engine.room(prompt))
        form = self._reader.form(len(content.images))
        tokens = min(self.sampling.max_new_tokens, room)
        sampling = replace(self.sampling, max_new_tokens=tokens, structured_outputs=form)
        request = self.engine.submit(prompt, sampling)
        text = request.result()
        if request.reason == "cancelled":
            raise Cancelled
        usage = {"prompt_tokens": request.usage.prompt_tokens, "completion_tokens": request.usage.completion_tokens}
        return {
            "answer": text.strip(),
            **_parsed(text, form, whole=request.reason == "stop"),
            "objects": [place.as_dict() for place in places(text, prompt.images)],
            "finish_reason": request.reason or "stop",
            "usage": {**usage, **media_usage(prompt.images)},
        }

    def close(self) -> None:
        """End at once; rows under way raise `Cancelled`."""
        self.engine.close()

    def __enter__(self) -> Answerer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Cancelled(Exception):
    """The engine was closed before the answer had ended."""


def _parsed(text: str, form: StructuredOutputs | None, *, whole: bool) -> dict[str, Any]:
    """Return the value of an answer that has a schema, as the field `parsed`; null where it was cut."""
    if form is None or form.schema is None:
        return {}
    if not whole:  # of `123`, `1` is JSON, too
        return {"parsed": None}
    try:
        return {"parsed": json.loads(text)}
    except ValueError:
        return {"parsed": None}


def _digest(content: bytes | str) -> str:
    return sha256(Path(content)) if isinstance(content, str) else hashlib.sha256(content).hexdigest()


def _is_file(source: str) -> bool:
    return not source.startswith("data:") and not is_url(source)

"""What clients send in every form of request: a conversation of messages, and how its images and videos are read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pixelword.errors import InputError
from pixelword.serving.fields import Body, CallID, Text, Words, problem
from pixelword.serving.protocol_tools import ToolCall


class Url(Body):
    place: ClassVar[str] = "url"
    url: Words


class Part(Body):
    """A part of a message: text, or an image or a video by its URL."""

    place: ClassVar[str] = "part"
    type: Literal["text", "image_url", "video_url"]
    text: Text | None = None
    image_url: Url | Text | None = None
    video_url: Url | Text | None = None

    @model_validator(mode="after")
    def _whole(self) -> Part:
        if getattr(self, self.type) is None:
            raise problem(self.type, f"a part of type {self.type!r} needs {self.type}")
        for other in {"text", "image_url", "video_url"} - {self.type}:
            if getattr(self, other):
                raise problem(other, f"a part of type {self.type!r} cannot have {other}; make it a part of its own")
        return self

    @property
    def address(self) -> str:
        """The URL of the image or video."""
        found = self.image_url if self.type == "image_url" else self.video_url
        assert found is not None
        return found if isinstance(found, str) else found.url


class ChatMessage(Body):
    place: ClassVar[str] = "message"
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: CallID | None = None

    @model_validator(mode="after")
    def _whole(self) -> ChatMessage:
        if self.tool_calls and self.role != "assistant":
            raise problem("tool_calls", f"tool_calls belong to the assistant, not to role {self.role!r}")
        if self.content is None and not self.tool_calls:
            raise problem("content", f"a message of role {self.role!r} needs content")
        return self


#: What a request may say of how its media are read.
MEDIA = ("min_pixels", "max_pixels", "fps", "max_frames", "frame_budget")


class Media(Body):
    """How the images and videos of a request are read."""

    min_pixels: Annotated[
        int | None, Field(ge=1, le=2**31, description="Smaller images are enlarged to this many pixels.")
    ] = None
    max_pixels: Annotated[
        int | None, Field(ge=1, le=2**31, description="Larger images are shrunk to this many pixels.")
    ] = None
    fps: Annotated[float | None, Field(gt=0, le=240, description="Frames sampled per second of video.")] = None
    max_frames: Annotated[int | None, Field(ge=1, le=4096, description="The most frames sampled from a video.")] = None
    frame_budget: Annotated[
        int | None, Field(ge=1, le=4096, description="The most frames of a video, chosen where it changes.")
    ] = None
    mm_processor_kwargs: Annotated[
        dict[str, Any] | None, Field(description="The media options above, as vLLM clients send them.")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, body: Any) -> Any:
        """Take options from `mm_processor_kwargs`; those by name come first."""
        inner = body.get("mm_processor_kwargs") if isinstance(body, dict) else None
        if not isinstance(inner, dict):
            return body
        for name in inner:
            if name not in MEDIA:
                raise problem("mm_processor_kwargs", f"mm_processor_kwargs: no {name}; use {', '.join(MEDIA)}")
        return body | {name: value for name, value in inner.items() if body.get(name) is None}

    def media_options(self) -> dict[str, Any]:
        """The request's own options for reading media."""
        return {name: value for name in MEDIA if (value := getattr(self, name)) is not None}


#: Messages of one conversation.
MOST_MESSAGES = 1024
Messages = Annotated[
    list[ChatMessage],
    Field(
        min_length=1,
        max_length=MOST_MESSAGES,
        description="The conversation, with parts `text`, `image_url` and `video_url`.",
    ),
]


def most_messages(messages: list[ChatMessage]) -> list[ChatMessage]:
    """The messages of a conversation that was put together. Raises InputError: there are too many."""
    if len(messages) > MOST_MESSAGES:
        raise InputError(f"a conversation of {len(messages):,} messages; send at most {MOST_MESSAGES:,}")
    return messages


ModelName = Annotated[Text | None, Field(description="The served model's name; may be left out.")]

"""What clients of Anthropic's Messages API send, and the chat request that it amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pixelword.serving.fields import Body, problem
from pixelword.serving.protocol import (
    ChatMessage,
    ChatRequest,
    JsonSchema,
    Media,
    ModelName,
    Part,
    ResponseFormat,
    Text,
    Words,
    most_messages,
)


class Source(Body):
    """Where an image comes from: its bytes in base64, or a URL."""

    place: ClassVar[str] = "source"
    type: Literal["base64", "url"]
    media_type: Annotated[
        Literal["image/jpeg", "image/png", "image/gif", "image/webp"] | None,
        Field(description="The type of `data`."),
    ] = None
    data: Annotated[Words | None, Field(description="The image's bytes in base64.")] = None
    url: Annotated[Words | None, Field(description="The image's address.")] = None

    @model_validator(mode="after")
    def _whole(self) -> Source:
        needed = ("media_type", "data") if self.type == "base64" else ("url",)
        for name in ("media_type", "data", "url"):
            if (getattr(self, name) is None) == (name in needed):
                verb = "needs" if name in needed else "cannot have"
                raise problem(name, f"a source of type {self.type!r} {verb} {name}")
        return self

    @property
    def address(self) -> str:
        """The image as a URL."""
        return self.url if self.url is not None else f"data:{self.media_type};base64,{self.data}"


class Block(Body):
    """A block of a message: text or an image."""

    place: ClassVar[str] = "block"
    type: Literal["text", "image"]
    text: Annotated[Text | None, Field(description="The text of a block of this type.")] = None
    source: Annotated[Source | None, Field(description="The source of an image.")] = None

    @model_validator(mode="after")
    def _whole(self) -> Block:
        needed, other = ("text", "source") if self.type == "text" else ("source", "text")
        if getattr(self, needed) is None:
            raise problem(needed, f"a block of type {self.type!r} needs {needed}")
        if getattr(self, other) is not None:
            raise problem(other, f"a block of type {self.type!r} cannot have {other}; make it a block of its own")
        return self

    def part(self) -> Part:
        """The block as a part of a chat message."""
        if self.source is None:
            return Part(type="text", text=self.text)
        return Part(type="image_url", image_url=self.source.address)


class TextBlock(Body):
    """A block of the system prompt."""

    place: ClassVar[str] = "block"
    type: Literal["text"]
    text: Text


class Turn(Body):
    """A message of the conversation."""

    place: ClassVar[str] = "turn"
    role: Literal["user", "assistant"]
    content: Text | list[Block]

    def parts(self) -> list[Part]:
        """Its content as parts of a chat message."""
        if isinstance(self.content, str):
            return [Part(type="text", text=self.content)]
        return [block.part() for block in self.content]


class Conversation(Media):
    """What `/v1/messages` and its token count share."""

    model: ModelName = None
    messages: Annotated[
        list[Turn],
        Field(min_length=1, max_length=1024, description="The conversation, with blocks `text` and `image`."),
    ]
    system: Annotated[
        Text | Annotated[list[TextBlock], Field(max_length=1024)] | None, Field(description="The system prompt.")
    ] = None

    def chat_messages(self) -> list[ChatMessage]:
        """The conversation in chat form; adjacent messages of one role are one message, as Anthropic joins them."""
        found: list[tuple[str, list[Part]]] = []
        for turn in self.messages:
            if found and found[-1][0] == turn.role:
                found[-1][1].extend(turn.parts())
            else:
                found.append((turn.role, turn.parts()))
        turns = [ChatMessage.model_validate({"role": role, "content": parts}) for role, parts in found]
        if not self.system:
            return turns
        texts = [self.system] if isinstance(self.system, str) else [block.text for block in self.system]
        return most_messages([ChatMessage(role="system", content="\n".join(texts)), *turns])

    def chat(self, **more: Any) -> ChatRequest:
        """The same as a chat request, with more of its fields. A last message of the assistant is continued."""
        messages = self.chat_messages()
        ending = {"continue_final_message": True} if messages[-1].role == "assistant" else {}
        return ChatRequest.model_validate(self.media_options() | ending | more | {"messages": messages})


class OutputFormat(Body):
    """JSON by a schema."""

    place: ClassVar[str] = "output_format"
    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema", description="The JSON schema.")]


class _Form(ResponseFormat):
    schema_field: ClassVar[str] = "output_config.format.schema"


class OutputConfig(Body):
    """How the answer is written."""

    place: ClassVar[str] = "output_config"
    format: Annotated[OutputFormat | None, Field(description="The form of the answer.")] = None

    def response_format(self) -> ResponseFormat | None:
        """The same as of a chat request."""
        if self.format is None:
            return None
        return _Form(type="json_schema", json_schema=JsonSchema.model_validate({"schema": self.format.schema_}))


class CountTokensRequest(Conversation):
    """`POST /v1/messages/count_tokens`."""

    place: ClassVar[str] = "count_tokens"


class MessagesRequest(Conversation):
    """`POST /v1/messages`."""

    place: ClassVar[str] = "messages"
    max_tokens: Annotated[int, Field(ge=1, description="The most tokens to generate.")]
    stop_sequences: Annotated[
        list[Words] | None, Field(max_length=16, description="Strings at which generation stops.")
    ] = None
    temperature: Annotated[
        float | None, Field(ge=0, le=1, description="Sampling temperature; 0, the default, is greedy.")
    ] = None
    top_p: Annotated[
        float | None,
        Field(gt=0, le=1, description="Sample from the most likely tokens that together have this probability."),
    ] = None
    top_k: Annotated[
        int | None, Field(ge=0, description="Sample from this number of most likely tokens; 0 for all.")
    ] = None
    output_config: Annotated[
        OutputConfig | None, Field(description="The answer's `format`: `json_schema` with a `schema`.")
    ] = None
    stream: Annotated[bool | None, Field(description="Stream the output as server-sent events.")] = None

    def as_chat(self) -> ChatRequest:
        """The chat request that this amounts to."""
        stop: Sequence[str] | None = self.stop_sequences or None
        form = self.output_config.response_format() if self.output_config else None
        return self.chat(
            max_tokens=self.max_tokens,
            stop=stop,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            response_format=form,
        )

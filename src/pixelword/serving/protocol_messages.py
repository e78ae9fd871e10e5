"""What clients of Anthropic's Messages API send, and the chat request that it amounts to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pixelword.serving.fields import Body, CallID, JSONObject, Text, Words, problem
from pixelword.serving.protocol import ChatRequest, TopP
from pixelword.serving.protocol_conversation import ChatMessage, Media, ModelName, Part, most_messages
from pixelword.serving.protocol_forms import JsonSchema, ResponseFormat
from pixelword.serving.protocol_tools import CalledFunction, Function, Named, NamedTool, Tool, ToolCall, ToolName
from pixelword.serving.settings import Settings


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


#: Fields of each type of block: those that it needs, and those that it may have.
_FIELDS = {
    "text": (("text",), ()),
    "image": (("source",), ()),
    "tool_use": (("id", "name", "input"), ()),
    "tool_result": (("tool_use_id",), ("content", "is_error")),
}


class Block(Body):
    """A block of a message: text, an image, a call of a tool, or what a tool returned."""

    place: ClassVar[str] = "block"
    type: Literal["text", "image", "tool_use", "tool_result"]
    text: Annotated[Text | None, Field(description="The text of a block of this type.")] = None
    source: Annotated[Source | None, Field(description="The source of an image.")] = None
    id: Annotated[CallID | None, Field(description="The ID of a call.")] = None
    name: Annotated[ToolName | None, Field(description="The name of the tool that is called.")] = None
    input: Annotated[JSONObject | None, Field(description="The arguments of a call.")] = None
    tool_use_id: Annotated[CallID | None, Field(description="The ID of the call that has this result.")] = None
    content: Annotated[
        Text | list[Block] | None, Field(description="What a tool returned: text, or blocks `text` and `image`.")
    ] = None
    is_error: Annotated[bool | None, Field(description="Whether the tool failed; the model reads `Error:`.")] = None

    @model_validator(mode="after")
    def _whole(self) -> Block:
        needed, further = _FIELDS[self.type]
        for name in needed:
            if getattr(self, name) is None:
                raise problem(name, f"a block of type {self.type!r} needs {name}")
        for name in set(Block.model_fields) - {"type", *needed, *further}:
            if getattr(self, name) is not None:
                raise problem(name, f"a block of type {self.type!r} cannot have {name}; make it a block of its own")
        for block in self.content if isinstance(self.content, list) else ():
            if block.type not in ("text", "image"):
                raise problem("content", f"a tool's result cannot have a block of type {block.type!r}")
        return self

    def call(self) -> ToolCall:
        """A call as in a chat."""
        assert self.name is not None
        return ToolCall(id=self.id, function=CalledFunction(name=self.name, arguments=json.dumps(self.input)))

    def result(self) -> ChatMessage:
        """What a tool returned, as a chat message."""
        given = self.content or ""
        content = [Part(type="text", text=given)] if isinstance(given, str) else [block.part() for block in given]
        failed = [Part(type="text", text="Error: ")] if self.is_error else []
        return ChatMessage(role="tool", tool_call_id=self.tool_use_id, content=[*failed, *content])

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

    @model_validator(mode="after")
    def _own(self) -> Turn:
        foreign = "tool_use" if self.role == "user" else "tool_result"
        if any(block.type == foreign for block in self.blocks):
            raise problem("content", f"a message of role {self.role!r} cannot have a block of type {foreign!r}")
        return self

    @property
    def blocks(self) -> list[Block]:
        """Its content as blocks."""
        return [Block(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class MessagesTool(Body):
    """A function that the model may call."""

    place: ClassVar[str] = "messages_tool"
    name: ToolName
    description: Text | None = None
    input_schema: JSONObject

    def tool(self) -> Tool:
        """The same as in a chat."""
        function = Function(name=self.name, description=self.description, parameters=self.input_schema)
        return Tool(type="function", function=function)


class ToolChoice(Body):
    """Whether to call tools."""

    place: ClassVar[str] = "messages_choice"
    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> ToolChoice:
        if (self.type == "tool") != (self.name is not None):
            raise problem("tool_choice", "type tool and the field name go together")
        return self

    def choice(self) -> str | NamedTool:
        """The same as in a chat."""
        if self.name is not None:
            return NamedTool(type="function", function=Named(name=self.name))
        return {"any": "required"}.get(self.type, self.type)


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

    tools: Annotated[
        list[MessagesTool] | None, Field(max_length=128, description="Functions that the model may call.")
    ] = None

    def chat_messages(self) -> list[ChatMessage]:
        """The conversation in chat form; adjacent messages of one role are one message, as Anthropic joins them."""
        found: list[tuple[str, list[Block]]] = []
        for turn in self.messages:
            if found and found[-1][0] == turn.role:
                found[-1][1].extend(turn.blocks)
            else:
                found.append((turn.role, [*turn.blocks]))
        turns = [message for role, blocks in found for message in _messages(role, blocks)]
        if not self.system:
            return most_messages(turns)
        texts = [self.system] if isinstance(self.system, str) else [block.text for block in self.system]
        return most_messages([ChatMessage(role="system", content="\n".join(texts)), *turns])

    def chat(self, **more: Any) -> ChatRequest:
        """The same as a chat request, with more of its fields. A last message of the assistant is continued."""
        messages = self.chat_messages()
        continued = messages[-1].role == "assistant" and not messages[-1].tool_calls
        ending = {"continue_final_message": True} if continued else {}
        tools = [tool.tool() for tool in self.tools] if self.tools else None
        whole = ending | more | {"messages": messages, "tools": tools}
        return ChatRequest.model_validate(self.media_options() | whole)


class OutputFormat(Body):
    """JSON by a schema."""

    place: ClassVar[str] = "output_format"
    type: Literal["json_schema"]
    schema_: Annotated[JSONObject, Field(alias="schema", description="The JSON schema.")]


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


def _messages(role: str, blocks: Sequence[Block]) -> list[ChatMessage]:
    """The messages of one turn: results of tools, if any, and the rest."""
    results = [block.result() for block in blocks if block.type == "tool_result"]
    calls = [block.call() for block in blocks if block.type == "tool_use"]
    parts = [block.part() for block in blocks if block.type in ("text", "image")]
    if results and not parts:
        return results
    content = parts or (None if calls else [])
    own = ChatMessage.model_validate({"role": role, "content": content, "tool_calls": calls or None})
    return [*results, own]


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
    top_p: TopP = None
    top_k: Annotated[
        int | None, Field(ge=0, description="Sample from this number of most likely tokens; 0 for all.")
    ] = None
    tool_choice: Annotated[
        ToolChoice | None, Field(description="Whether to call tools: `auto` (the default), `any`, `tool`, `none`.")
    ] = None
    output_config: Annotated[
        OutputConfig | None, Field(description="The answer's `format`: `json_schema` with a `schema`.")
    ] = None
    stream: Annotated[bool | None, Field(description="Stream the output as server-sent events.")] = None

    @model_validator(mode="after")
    def _consistent(self) -> MessagesRequest:
        if not self.tools and self.tool_choice is not None and self.tool_choice.type in ("any", "tool"):
            raise problem("tool_choice", "tool_choice needs tools")
        return self

    def as_chat(self, settings: Settings) -> ChatRequest:
        """The chat request that this amounts to; `max_tokens` above the server's limit means that limit."""
        stop: Sequence[str] | None = self.stop_sequences or None
        form = self.output_config.response_format() if self.output_config else None
        return self.chat(
            max_tokens=min(self.max_tokens, settings.max_tokens),
            stop=stop,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            response_format=form,
            tool_choice=self.tool_choice.choice() if self.tool_choice else None,
            parallel_tool_calls=not (self.tool_choice and self.tool_choice.disable_parallel_tool_use),
        )

"""What clients of OpenAI's Responses API send, and the chat request that it amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from pixelword.serving.fields import Body, CallID, JSONObject, Text, Words, problem
from pixelword.serving.protocol import ChatRequest, Seed, Temperature, TopP, check_length
from pixelword.serving.protocol_conversation import MOST_MESSAGES, ChatMessage, Media, ModelName, Part, most_messages
from pixelword.serving.protocol_forms import JsonSchema, ResponseFormat
from pixelword.serving.protocol_tools import CalledFunction, Function, Named, NamedTool, Tool, ToolCall, ToolName
from pixelword.serving.settings import Settings

#: What a part of each type holds.
_HOLDS = {"input_text": "text", "output_text": "text", "input_image": "image_url", "input_video": "video_url"}
LOGPROBS = "message.output_text.logprobs"


class InputPart(Body):
    """A part of a message: text, an image, or a video (an extension of this server)."""

    place: ClassVar[str] = "input_part"
    type: Literal["input_text", "output_text", "input_image", "input_video"]
    text: Annotated[Text | None, Field(description="The text of a part of this type.")] = None
    image_url: Annotated[Words | None, Field(description="The image's URL.")] = None
    video_url: Annotated[Words | None, Field(description="The video's URL.")] = None

    @model_validator(mode="after")
    def _whole(self) -> InputPart:
        needed = _HOLDS[self.type]
        if getattr(self, needed) is None:
            raise problem(needed, f"a part of type {self.type!r} needs {needed}")
        for other in {"text", "image_url", "video_url"} - {needed}:
            if getattr(self, other) is not None:
                raise problem(other, f"a part of type {self.type!r} cannot have {other}; make it a part of its own")
        return self

    def part(self) -> Part:
        """The same as a part of a chat message."""
        if self.text is not None:
            return Part(type="text", text=self.text)
        if self.image_url is not None:
            return Part(type="image_url", image_url=self.image_url)
        return Part(type="video_url", video_url=self.video_url)


class InputItem(Body):
    """A message of the input, or one of an earlier response's output."""

    place: ClassVar[str] = "input_item"
    type: Annotated[Literal["message"] | None, Field(description="`message`; may be left out.")] = None
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[InputPart]

    def message(self) -> ChatMessage:
        """The same as a chat message."""
        content = self.content if isinstance(self.content, str) else [part.part() for part in self.content]
        return ChatMessage(role=self.role, content=content)


class FunctionCall(Body):
    """A call of a tool in an earlier response's output."""

    place: ClassVar[str] = "function_call"
    type: Literal["function_call"]
    call_id: CallID
    name: ToolName
    arguments: Text

    def call(self) -> ToolCall:
        """The same as in a chat."""
        return ToolCall(id=self.call_id, function=CalledFunction(name=self.name, arguments=self.arguments))


class FunctionCallOutput(Body):
    """What a tool returned: text, or parts with images."""

    place: ClassVar[str] = "function_call_output"
    type: Literal["function_call_output"]
    call_id: CallID
    output: Text | Annotated[list[InputPart], Field(min_length=1)]

    def message(self) -> ChatMessage:
        """The same as a chat message."""
        content = self.output if isinstance(self.output, str) else [part.part() for part in self.output]
        return ChatMessage(role="tool", tool_call_id=self.call_id, content=content)


def _kind(item: Any) -> str:
    """Which of the forms of an item is meant."""
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return kind if kind in ("function_call", "function_call_output") else "message"


Item = Annotated[
    Annotated[InputItem, Tag("message")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")],
    Discriminator(_kind),
]


class ResponseTool(Body):
    """A function that the model may call."""

    place: ClassVar[str] = "response_tool"
    type: Literal["function"]
    name: ToolName
    description: Text | None = None
    parameters: JSONObject | None = None

    def tool(self) -> Tool:
        """The same as in a chat."""
        function = Function(name=self.name, description=self.description, parameters=self.parameters)
        return Tool(type="function", function=function)


class ChosenTool(Body):
    """The function that is to be called."""

    place: ClassVar[str] = "chosen_tool"
    type: Literal["function"]
    name: ToolName


class TextFormat(Body):
    """The form of the output: text, a JSON object, or JSON by a schema."""

    place: ClassVar[str] = "format"
    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[Text | None, Field(description="The schema's name, which the response repeats.")] = None
    description: Annotated[Text | None, Field(description="Repeated by the response.")] = None
    schema_: Annotated[
        JSONObject | None, Field(alias="schema", description="The JSON schema; needed by type `json_schema`.")
    ] = None
    strict: Annotated[bool | None, Field(description="Without effect: schemas always hold.")] = None

    @model_validator(mode="after")
    def _whole(self) -> TextFormat:
        if (self.type == "json_schema") != (self.schema_ is not None):
            raise problem("text", "type json_schema and the field schema go together")
        return self

    def response_format(self) -> ResponseFormat:
        """The same as of a chat request."""
        schema = None if self.schema_ is None else JsonSchema.model_validate({"schema": self.schema_})
        return _Form(type=self.type, json_schema=schema)


class _Form(ResponseFormat):
    schema_field: ClassVar[str] = "text.format.schema"


class TextConfig(Body):
    """How the output is written."""

    place: ClassVar[str] = "text"
    format: Annotated[TextFormat | None, Field(description="The form of the output.")] = None


class Conversation(Media):
    """What `/v1/responses` and its token count share."""

    model: ModelName = None
    input: Annotated[
        Text | Annotated[list[Item], Field(min_length=1, max_length=MOST_MESSAGES)],
        Field(description="A text, or messages with parts `input_text`, `input_image`, `input_video`, `output_text`."),
    ]
    instructions: Annotated[
        Text | None, Field(description="The system prompt of this response; a later one does not inherit it.")
    ] = None
    tools: Annotated[
        list[ResponseTool] | None, Field(max_length=128, description="Functions that the model may call.")
    ] = None
    previous_response_id: Annotated[
        Text | None, Field(description="The stored response whose conversation this continues.")
    ] = None

    def messages(self, earlier: Sequence[ChatMessage]) -> list[ChatMessage]:
        """The conversation in chat form without instructions. earlier: that of the previous response."""
        if isinstance(self.input, str):
            return [*earlier, ChatMessage(role="user", content=self.input)]
        return _joined([*earlier, *(_message(item) for item in self.input)])

    def chat(self, messages: Sequence[ChatMessage], **more: object) -> ChatRequest:
        """The same as a chat request, with more of its fields. messages: as from `messages`."""
        instructions = [ChatMessage(role="system", content=self.instructions)] if self.instructions else []
        whole = most_messages([*instructions, *messages])
        tools = [tool.tool() for tool in self.tools] if self.tools else None
        return ChatRequest.model_validate(self.media_options() | more | {"messages": whole, "tools": tools})


def _message(item: InputItem | FunctionCall | FunctionCallOutput) -> ChatMessage:
    if isinstance(item, FunctionCall):
        return ChatMessage(role="assistant", tool_calls=[item.call()])
    return item.message()


def _joined(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Messages with calls in the message of the assistant that they follow, as they were generated."""
    found: list[ChatMessage] = []
    for message in messages:
        if message.tool_calls and message.content is None and found and found[-1].role == "assistant":
            calls = [*(found[-1].tool_calls or ()), *message.tool_calls]
            found[-1] = found[-1].model_copy(update={"tool_calls": calls})
        else:
            found.append(message)
    return found


class InputTokensRequest(Conversation):
    """`POST /v1/responses/input_tokens`."""

    place: ClassVar[str] = "input_tokens"


class ResponsesRequest(Conversation):
    """`POST /v1/responses`."""

    place: ClassVar[str] = "responses"
    store: Annotated[
        bool | None, Field(description="Store the response for `previous_response_id` and `GET`; true by default.")
    ] = None
    max_output_tokens: Annotated[
        int | None, Field(ge=1, description="The most tokens to generate; by default the rest of the context.")
    ] = None
    temperature: Temperature = None
    top_p: TopP = None
    seed: Seed = None
    include: Annotated[
        list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None,
        Field(max_length=16, description=f"`{LOGPROBS}` returns log probabilities."),
    ] = None
    top_logprobs: Annotated[
        int | None,
        Field(ge=0, le=20, description="Number of most likely tokens to return at each position."),
    ] = None
    text: Annotated[
        TextConfig | None,
        Field(description="The output's `format`: of type `text`, `json_object`, or `json_schema` with a `schema`."),
    ] = None
    tool_choice: Annotated[
        Literal["none", "auto", "required"] | ChosenTool | None,
        Field(description="Whether to call tools: `auto` (the default), `none`, `required`, or a function by name."),
    ] = None
    parallel_tool_calls: Annotated[bool | None, Field(description="Whether there may be several calls at once.")] = None
    metadata: Annotated[
        dict[Text, Text] | None, Field(max_length=16, description="Pairs that the response repeats.")
    ] = None
    stream: Annotated[bool | None, Field(description="Stream the response as server-sent events.")] = None

    @property
    def with_logprobs(self) -> bool:
        """Whether log probabilities are returned."""
        return self.top_logprobs is not None or LOGPROBS in (self.include or ())

    @model_validator(mode="after")
    def _consistent(self) -> ResponsesRequest:
        if not self.tools and self.tool_choice not in (None, "none", "auto"):
            raise problem("tool_choice", "tool_choice needs tools")
        if self.tools and self.with_logprobs:
            raise problem("include", "include: log probabilities are not returned beside tools; leave out one of them")
        return self

    def _choice(self) -> NamedTool | str | None:
        if isinstance(self.tool_choice, ChosenTool):
            return NamedTool(type="function", function=Named(name=self.tool_choice.name))
        return self.tool_choice

    @property
    def form(self) -> TextFormat | None:
        """The form of the output, if it says one."""
        return self.text.format if self.text else None

    def check(self, settings: Settings) -> None:
        """Before anything is done. Raises InputError: it asks for more than one request may have."""
        check_length("max_output_tokens", self.max_output_tokens, settings)

    def as_chat(self, messages: Sequence[ChatMessage]) -> ChatRequest:
        """The chat request that this amounts to. messages: as from `messages`."""
        return self.chat(
            messages,
            max_completion_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            logprobs=self.with_logprobs,
            top_logprobs=self.top_logprobs,
            tool_choice=self._choice(),
            parallel_tool_calls=self.parallel_tool_calls,
            response_format=self.form.response_format() if self.form else None,
        )

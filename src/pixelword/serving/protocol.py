"""What clients send: OpenAI's and vLLM's requests, as far as this server does them; the rest is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from pixelword.errors import InputError
from pixelword.generation.sampling import Sampling
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.serving.fields import Body, Text, Words, problem
from pixelword.serving.protocol_conversation import ChatMessage, Media, Messages, ModelName
from pixelword.serving.protocol_forms import ResponseFormat, Structured
from pixelword.serving.protocol_tools import NamedTool, Tool, form_of
from pixelword.serving.settings import Settings


def _by_token(biases: dict[str, float]) -> dict[int, float]:
    """JSON's keys are strings."""
    try:
        return {int(token): bias for token, bias in biases.items()}
    except ValueError as error:
        raise ValueError("keys are numbers of tokens") from error


Tokens = Annotated[list[int], Field(max_length=2**18)]
Bias = Annotated[float, Field(ge=-100, le=100)]


class StreamOptions(Body):
    place: ClassVar[str] = "stream_options"
    include_usage: Annotated[bool | None, Field(description="Send a last chunk with the `usage`.")] = None


def check_length(field: str, tokens: int | None, settings: Settings) -> None:
    """Raises InputError: an answer may not be as long as the field says."""
    if (tokens or 0) > settings.max_tokens:
        raise InputError(f"{field}: {tokens:,} is more than this server's {settings.max_tokens:,}")


class Ending(Body):
    """How the prompt of a chat ends."""

    add_generation_prompt: Annotated[
        bool | None, Field(description="Whether the prompt ends with the start of an assistant turn; true by default.")
    ] = None
    continue_final_message: Annotated[
        bool | None, Field(description="Continue the last message, which must be the assistant's.")
    ] = None

    def ending(self, messages: Sequence[ChatMessage]) -> dict[str, bool]:
        """The processor's options. Raises a problem: they contradict each other, or the messages."""
        if not self.continue_final_message:
            return {"add_generation_prompt": self.add_generation_prompt is not False}
        name = "continue_final_message"
        if self.add_generation_prompt:
            raise problem(name, f"{name} and add_generation_prompt exclude each other; leave one out")
        if messages[-1].role != "assistant":
            raise problem(name, f"{name} needs a last message of the assistant; add one")
        return {"add_generation_prompt": False, name: True}


class Tooled(Body):
    """What the prompt of a chat says of tools."""

    tools: Annotated[list[Tool] | None, Field(max_length=128, description="Functions that the model may call.")] = None

    def offered(self) -> dict[str, Any]:
        """The processor's options."""
        return {"tools": [tool.model_dump(exclude_none=True) for tool in self.tools]} if self.tools else {}


Temperature = Annotated[float | None, Field(ge=0, le=2, description="Sampling temperature; 0, the default, is greedy.")]
TopP = Annotated[
    float | None,
    Field(gt=0, le=1, description="Sample from the most likely tokens that together have this probability."),
]
Seed = Annotated[
    int | None,
    Field(ge=-(2**63), lt=2**63, description="Seed of the sampling; the same seed gives the same output."),
]


class Request(Body):
    """What chat and plain completions share."""

    model: ModelName = None
    max_tokens: Annotated[
        int | None, Field(ge=1, description="The most tokens to generate; by default the rest of the context.")
    ] = None
    min_tokens: Annotated[int | None, Field(ge=0, description="The fewest tokens to generate.")] = None
    temperature: Temperature = None
    top_p: TopP = None
    top_k: Annotated[
        int | None, Field(ge=-1, description="Sample from this number of most likely tokens; 0 for all.")
    ] = None
    min_p: Annotated[
        float | None,
        Field(ge=0, le=1, description="Sample from tokens with at least this fraction of the top probability."),
    ] = None
    repetition_penalty: Annotated[
        float | None, Field(gt=0, le=2, description="Above 1, repeated tokens become less likely.")
    ] = None
    seed: Seed = None
    stop: Annotated[
        Words | Annotated[list[Words], Field(max_length=16)] | None,
        Field(description="Strings at which generation stops."),
    ] = None
    stop_token_ids: Annotated[Tokens | None, Field(description="Tokens at which generation stops.")] = None
    include_stop_str_in_output: Annotated[
        bool | None, Field(description="Keep the stop string or stop token in the output.")
    ] = None
    ignore_eos: Annotated[bool | None, Field(description="Continue after the end-of-sequence token.")] = None
    allowed_token_ids: Annotated[Tokens | None, Field(min_length=1, description="Generate only these tokens.")] = None
    bad_words: Annotated[
        list[Words] | None,
        Field(max_length=128, description="Words that are not generated, at the start or after a space."),
    ] = None
    logit_bias: Annotated[
        Annotated[dict[str, Bias], Field(max_length=2**18), AfterValidator(_by_token)] | None,
        Field(description="Token IDs mapped to a bias, -100 to 100, that is added to their logits."),
    ] = None
    response_format: Annotated[
        ResponseFormat | None,
        Field(description="Form of the output: `text`, `json_object`, or `json_schema` with a schema."),
    ] = None
    structured_outputs: Annotated[
        Structured | None,
        Field(description="Form of the output: one of `json`, `json_object`, `choice`, `regex`, `grammar`."),
    ] = None
    n: Annotated[int | None, Field(ge=1, description="Number of completions.")] = None
    stream: Annotated[bool | None, Field(description="Stream the output as server-sent events.")] = None
    stream_options: Annotated[StreamOptions | None, Field(description="Options for streaming: `include_usage`.")] = None

    @property
    def longest(self) -> int | None:
        """The most tokens that the request allows its answer, if it does say."""
        return self.max_tokens

    def structure(self) -> StructuredOutputs | None:
        """The form that the answer must have. Raises InputError: it is none, or there are two."""
        if self.structured_outputs is None:
            return None if self.response_format is None else self.response_format.structure()
        if self.response_format is not None and self.response_format.type != "text":
            raise InputError("structured_outputs: response_format says another form; leave one out")
        return self.structured_outputs.structure()

    def sampling(self, settings: Settings, room: int, *, logprobs: int | None, choice: int) -> Sampling:
        """How answer number `choice` is drawn, where the context has room for this many tokens. Raises InputError."""
        bias: Any = self.logit_bias or {}
        return Sampling(
            max_new_tokens=max(1, min(settings.default_max_tokens, room)) if self.longest is None else self.longest,
            # OpenAI's default is 1; here, as in vLLM, a model's own: greedy
            temperature=self.temperature or 0.0,
            seed=None if self.seed is None else (self.seed + choice) % 2**63,
            top_p=self.top_p if self.top_p is not None else 1.0,
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            min_tokens=self.min_tokens or 0,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            include_stop_str_in_output=self.include_stop_str_in_output or False,
            allowed_token_ids=None if self.allowed_token_ids is None else tuple(self.allowed_token_ids),
            bad_words=tuple(self.bad_words or ()),
            logit_bias=bias,
            logprobs=logprobs,
            ignore_eos=self.ignore_eos or False,
            repetition_penalty=self.repetition_penalty or 1.0,
            structured_outputs=self.structure(),
        )

    def check(self, settings: Settings) -> None:
        """Before anything is done. Raises InputError: it asks for more than one request may have."""
        check_length("max_tokens", self.longest, settings)
        if (self.n or 1) > settings.max_choices:
            raise InputError(f"n: {self.n} is more than the {settings.max_choices} answers that a request may have")
        structure = self.structure()
        if structure is not None and structure.length > settings.max_text:
            raise InputError(f"{structure.place}: more than the {settings.max_text:,} characters of one request")


class ChatRequest(Request, Media, Ending, Tooled):
    """`POST /v1/chat/completions`."""

    place: ClassVar[str] = "chat"
    messages: Messages
    max_completion_tokens: Annotated[int | None, Field(ge=1, description="The newer name of `max_tokens`.")] = None
    logprobs: Annotated[bool | None, Field(description="Return the log probability of each output token.")] = None
    top_logprobs: Annotated[
        int | None,
        Field(ge=0, le=20, description="Number of most likely tokens to return at each position; needs `logprobs`."),
    ] = None

    tool_choice: Annotated[
        Literal["none", "auto", "required"] | NamedTool | None,
        Field(description="Whether to call tools: `auto` (the default), `none`, `required`, or a function by name."),
    ] = None
    parallel_tool_calls: Annotated[bool | None, Field(description="Whether there may be several calls at once.")] = None

    @property
    def calls_tools(self) -> bool:
        """Whether the answer may call tools."""
        return bool(self.tools) and self.tool_choice != "none"

    def structure(self) -> StructuredOutputs | None:
        """The form that the answer must have. Raises InputError: it is none, or there are two."""
        found = super().structure()
        if not self.calls_tools:
            return found
        if found is not None:
            raise InputError("tools: an answer cannot also have a form; leave tools out, or set tool_choice to none")
        calls = form_of(self.tools or [], self.tool_choice, parallel=self.parallel_tool_calls is not False)
        return StructuredOutputs(tools=calls, place="tools")

    def prompt_options(self) -> dict[str, Any]:
        """The processor's options for the prompt."""
        return self.media_options() | self.ending(self.messages) | self.offered()

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        if not self.tools and self.tool_choice not in (None, "none", "auto"):
            raise problem("tool_choice", "tool_choice needs tools")
        self.ending(self.messages)
        if self.top_logprobs and not self.logprobs:
            raise problem("top_logprobs", "top_logprobs needs logprobs: true")
        return self

    @property
    def longest(self) -> int | None:
        """The most tokens that the request allows its answer, if it does say."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def num_logprobs(self) -> int | None:
        """The number of most likely tokens to return with each."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Request):
    """`POST /v1/completions`: plain text continuation without images or chat format."""

    place: ClassVar[str] = "completions"
    prompt: Annotated[
        Text | Annotated[list[Text], Field(min_length=1, max_length=16)],
        Field(description="A prompt, or a list of prompts."),
    ]
    logprobs: Annotated[
        int | None,
        Field(
            ge=0,
            le=20,
            description="Return log probabilities, with this number of most likely tokens at each position.",
        ),
    ] = None

    @property
    def prompts(self) -> Sequence[str]:
        """The texts."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TokenizeRequest(Media, Ending, Tooled):
    """`POST /tokenize`: of words, or of a chat."""

    place: ClassVar[str] = "tokenize"
    model: ModelName = None
    prompt: Annotated[Text | None, Field(description="A prompt; exclusive with `messages`.")] = None
    messages: Annotated[Messages | None, Field(description="A conversation; exclusive with `prompt`.")] = None
    return_token_strs: Annotated[bool | None, Field(description="Return the tokens as strings, too.")] = None

    @model_validator(mode="after")
    def _one(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise problem("prompt", "give prompt or messages")
        if self.messages is not None:
            self.ending(self.messages)
        return self


class ExplainRequest(Media):
    """`POST /v1/explain`."""

    place: ClassVar[str] = "explain"
    model: ModelName = None
    messages: Messages
    answer: Annotated[Text | None, Field(description="The answer to explain; by default the greedy one.")] = None
    max_words: Annotated[int, Field(ge=1, le=64, description="The number of its words to explain.")] = 16
    occlusions: Annotated[
        int,
        Field(ge=0, le=256, description="The number of occlusions that check the maps; 0 for none."),
    ] = 64

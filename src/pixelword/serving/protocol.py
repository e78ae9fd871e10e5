"""What clients send: OpenAI's requests, as far as this server understands them; the rest is refused in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pixelword.errors import InputError
from pixelword.inference.sampling import Sampling
from pixelword.serving.settings import Settings


def _is_text(value: str) -> str:
    """JSON can spell half a character (a lone surrogate), which is no text and cannot be written anywhere."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a lone surrogate is no character; send valid Unicode") from error
    return value


Text = Annotated[str, AfterValidator(_is_text)]

#: Asked for, these would change the answer; ignoring them would be a lie.
UNSUPPORTED = ("tools", "tool_choice", "functions", "function_call", "audio", "modalities", "logit_bias", "best_of")


class Url(BaseModel):
    model_config = ConfigDict(extra="ignore")
    url: Annotated[Text, Field(min_length=1)]


class Part(BaseModel):
    """A part of a message: words, a picture or a video by its address."""

    model_config = ConfigDict(extra="ignore")
    type: Literal["text", "image_url", "video_url"]
    text: Text | None = None
    image_url: Url | Text | None = None
    video_url: Url | Text | None = None

    @model_validator(mode="after")
    def _whole(self) -> Part:
        if getattr(self, self.type) is None:
            raise ValueError(f"a part of type {self.type!r} needs {self.type}")
        return self

    @property
    def address(self) -> str:
        """Where the picture or video is."""
        found = self.image_url if self.type == "image_url" else self.video_url
        assert found is not None
        return found if isinstance(found, str) else found.url


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[Part]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: str = "text"


class Request(BaseModel):
    """What chat and plain completions share. Fields that only label a request (`user`, `metadata`, …) are ignored."""

    model_config = ConfigDict(extra="allow")
    model: Text | None = None
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_k: Annotated[int | None, Field(ge=-1)] = None
    repetition_penalty: Annotated[float | None, Field(gt=0, le=2)] = None
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63)] = None
    stop: Annotated[Text, Field(min_length=1)] | Annotated[list[Text], Field(max_length=16)] | None = None
    n: Annotated[int | None, Field(ge=1)] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_format: ResponseFormat | None = None
    ignore_eos: bool = False

    @model_validator(mode="after")
    def _understood(self) -> Request:
        for name in UNSUPPORTED:
            if (self.model_extra or {}).get(name):
                raise ValueError(f"{name} is not supported by this server; leave it out")
        if self.presence_penalty or self.frequency_penalty:
            raise ValueError("presence_penalty and frequency_penalty are not supported by this server; leave them out")
        if self.response_format is not None and self.response_format.type != "text":
            raise ValueError("response_format: this server answers in plain text only")
        return self

    def sampling(self, settings: Settings, *, longest: int | None, logprobs: int | None, choice: int) -> Sampling:
        """How answer number `choice` is drawn. Raises InputError."""
        asked = longest if longest is not None else settings.default_max_tokens
        if asked > settings.max_tokens:
            raise InputError(f"max_tokens: {asked:,} is more than this server's {settings.max_tokens:,}")
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Sampling(
            max_new_tokens=asked,
            # OpenAI's default is 1; here, as in vLLM, a model's own: greedy
            temperature=self.temperature or 0.0,
            seed=None if self.seed is None else (self.seed + choice) % 2**63,
            top_p=self.top_p if self.top_p is not None else 1.0,
            top_k=max(self.top_k or 0, 0),
            stop=stop,
            logprobs=logprobs,
            ignore_eos=self.ignore_eos,
            repetition_penalty=self.repetition_penalty or 1.0,
        )


#: What a request may say of how its media are read.
MEDIA = ("min_pixels", "max_pixels", "fps", "max_frames", "frame_budget")


class ChatRequest(Request):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1024)]
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    min_pixels: Annotated[int | None, Field(ge=1, le=2**31)] = None
    max_pixels: Annotated[int | None, Field(ge=1, le=2**31)] = None
    fps: Annotated[float | None, Field(gt=0, le=240)] = None
    max_frames: Annotated[int | None, Field(ge=1, le=4096)] = None
    frame_budget: Annotated[int | None, Field(ge=1, le=4096)] = None
    mm_processor_kwargs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _media(self) -> ChatRequest:
        """vLLM's `mm_processor_kwargs` may carry our pixel limits."""
        for name, value in (self.mm_processor_kwargs or {}).items():
            if name not in MEDIA:
                raise ValueError(f"mm_processor_kwargs: no {name}; use {', '.join(MEDIA)}")
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 2**31:
                raise ValueError(f"mm_processor_kwargs.{name} must be a number above 0")
            if getattr(self, name) is None:
                setattr(self, name, float(value) if name == "fps" else int(value))
        return self

    @property
    def longest(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def told(self) -> int | None:
        """How many of the likeliest tokens to tell."""
        return (self.top_logprobs or 0) if self.logprobs else None

    def media_options(self) -> dict[str, Any]:
        """The request's own options for reading media."""
        return {name: value for name in MEDIA if (value := getattr(self, name)) is not None}


class CompletionRequest(Request):
    """`POST /v1/completions`: words that go on; no pictures, no chat format."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=16)]
    logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    echo: bool = False

    @property
    def prompts(self) -> Sequence[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TokenizeRequest(BaseModel):
    """`POST /tokenize`: of words, or of a chat."""

    model_config = ConfigDict(extra="ignore")
    model: Text | None = None
    prompt: Text | None = None
    messages: list[ChatMessage] | None = None
    return_token_strs: bool = False

    @model_validator(mode="after")
    def _one(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give prompt or messages")
        return self

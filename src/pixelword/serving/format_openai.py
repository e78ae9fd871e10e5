"""Types of OpenAI's and vLLM's answers, for `/openapi.json`; `responses` and the routes write them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from pixelword.serving.format_responses import Extended, Logprob
from pixelword.serving.protocol_tools import ToolCall


class CachedTokens(Extended):
    """Tokens of a prompt that the prefix cache had. images, videos: what was seen of each."""

    cached_tokens: int


class Usage(BaseModel):
    """Tokens of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class ChatLogprobs(BaseModel):
    """Log probabilities of an answer's tokens."""

    content: list[Logprob]


class ChatMessageAnswer(Extended):
    """A message of the assistant. tool_calls: where it calls tools; objects: the places that it names, if any."""

    role: Literal["assistant"]
    content: str | None
    tool_calls: list[ToolCall] | None = None


class ChatChoice(BaseModel):
    """One answer. stop_reason: the stop string or stop token that ended it."""

    index: int
    message: ChatMessageAnswer
    finish_reason: str
    stop_reason: str | int | None
    logprobs: ChatLogprobs | None


class ChatAnswer(BaseModel):
    """The answer of `POST /v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class CompletionLogprobs(BaseModel):
    """Log probabilities of an answer's tokens."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]


class CompletionChoice(BaseModel):
    """One answer. stop_reason: the stop string or stop token that ended it."""

    index: int
    text: str
    finish_reason: str
    stop_reason: str | int | None
    logprobs: CompletionLogprobs | None


class CompletionAnswer(BaseModel):
    """The answer of `POST /v1/completions`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class TokenizeAnswer(BaseModel):
    """The answer of `POST /tokenize`."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class EmbeddingCard(BaseModel):
    """What vectors of `/v1/embeddings` are."""

    dimensions: int
    pooling: list[str]
    normalized: bool


class ModelCard(BaseModel):
    """The served model. limits: images and videos of a request, and bytes of each."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int
    limits: dict[str, int]
    embeddings: EmbeddingCard


class ModelList(BaseModel):
    """The answer of `GET /v1/models`."""

    object: Literal["list"]
    data: list[ModelCard]


class Version(BaseModel):
    """The answer of `GET /version`."""

    version: str


class Explanation(BaseModel):
    """The answer of `POST /v1/explain`: what the page's tab "Look inside" draws; its fields may change."""

    model_config = {"extra": "allow"}
